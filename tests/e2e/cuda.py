"""cuda.py - what a job needs of CUDA's driver and NVML, by ctypes.  Packed into the jobs of
test_cuda_jobs.py.

SPDX-License-Identifier: Apache-2.0
"""
import ctypes
from ctypes import byref, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

OUT_OF_MEMORY = 2
NOT_PERMITTED = 800


def ok(code):
    assert code == 0, code


class Device:
    """A device with a context that is current."""

    def __init__(self, number=0):
        self.cu = ctypes.CDLL("libcuda.so.1")
        self.context = c_void_p()
        ok(self.cu.cuInit(0))
        ok(self.cu.cuCtxCreate_v2(byref(self.context), 0, number))

    def count(self):
        number = c_int()
        ok(self.cu.cuDeviceGetCount(byref(number)))
        return number.value

    def memory(self):
        """(free, total) as cuMemGetInfo shows them."""
        free, total = c_size_t(), c_size_t()
        ok(self.cu.cuMemGetInfo_v2(byref(free), byref(total)))
        return free.value, total.value

    def allocate(self, size):
        """CUDA's answer; what was had is never given back."""
        return self.cu.cuMemAlloc_v2(byref(c_ulonglong()), c_size_t(size))

    def fill(self, step=64 << 20, limit=1 << 40):
        """Allocate until it is refused, ever smaller; (bytes had, the error)."""
        had, error = 0, 0
        while step and had < limit:
            code = self.allocate(step)
            if code == 0:
                had += step
            else:
                error, step = code, step // 2
        return had, error

    def spin(self, microseconds=1000):
        """A kernel of that length (the fake driver's is as long as its grid is wide), waited
        for; CUDA's answer."""
        code = self.cu.cuLaunchKernel(None, c_uint(microseconds), 1, 1, 1, 1, 1, 0, None, None,
                                      None)
        return code or self.cu.cuCtxSynchronize()


class Nvml:
    """The GPUs that NVML lists."""

    class Memory(ctypes.Structure):
        _fields_ = [("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong)]

    class Process(ctypes.Structure):
        _fields_ = [("pid", c_uint), ("used", c_ulonglong), ("gpu", c_uint), ("compute", c_uint)]

    def __init__(self):
        self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
        ok(self.nvml.nvmlInit_v2())

    def handles(self):
        number, handles = c_uint(), []
        ok(self.nvml.nvmlDeviceGetCount_v2(byref(number)))
        for i in range(number.value):
            handles.append(c_void_p())
            ok(self.nvml.nvmlDeviceGetHandleByIndex_v2(i, byref(handles[-1])))
        return handles

    def by_uuid(self, uuid):
        handle = c_void_p()
        ok(self.nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), byref(handle)))
        return handle

    def uuid(self, handle):
        text = ctypes.create_string_buffer(96)
        ok(self.nvml.nvmlDeviceGetUUID(handle, text, 96))
        return text.value.decode()

    def memory(self, handle):
        """(total, free, used)"""
        m = self.Memory()
        ok(self.nvml.nvmlDeviceGetMemoryInfo(handle, byref(m)))
        return m.total, m.free, m.used

    def pids(self, handle):
        count, list = c_uint(64), (self.Process * 64)()
        ok(self.nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle, byref(count), list))
        return [p.pid for p in list[:count.value]]
