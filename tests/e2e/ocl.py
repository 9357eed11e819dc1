"""ocl.py - what a job needs of OpenCL, by ctypes.  Packed into the jobs of test_gpu.py.

SPDX-License-Identifier: Apache-2.0
"""
import ctypes
from ctypes import byref, c_int, c_size_t, c_uint, c_ulong, c_void_p

ALLOCATION_FAILURE = -4
INVALID_OPERATION = -59

SOURCE = b"""
kernel void spin(global uint *out, uint rounds)
{
    uint x = get_global_id(0);
    for (uint i = 0; i < rounds; i++)
        x = x * 1664525u + 1013904223u;
    out[get_global_id(0)] = x;
}
"""


class Device:
    """The first device of the first platform, with a context."""

    def __init__(self):
        self.cl = ctypes.CDLL("libOpenCL.so.1")
        for name in ("clCreateContext", "clCreateBuffer", "clCreateCommandQueue",
                     "clCreateProgramWithSource", "clCreateKernel"):
            getattr(self.cl, name).restype = c_void_p
        platform, device, error = c_void_p(), c_void_p(), c_int()
        assert self.cl.clGetPlatformIDs(1, byref(platform), None) == 0
        assert self.cl.clGetDeviceIDs(platform, c_ulong(0xffffffff), 1, byref(device), None) == 0
        self.device = device
        self.context = c_void_p(
            self.cl.clCreateContext(None, 1, byref(device), None, None, byref(error)))
        assert error.value == 0, error

    def memory(self):
        """CL_DEVICE_GLOBAL_MEM_SIZE."""
        size = c_ulong()
        assert self.cl.clGetDeviceInfo(self.device, 0x101f, 8, byref(size), None) == 0
        return size.value

    def allocate(self, size):
        """(buffer or None, error)"""
        error = c_int()
        buffer = self.cl.clCreateBuffer(self.context, c_ulong(1), c_size_t(size), None,
                                        byref(error))
        return buffer and c_void_p(buffer), error.value

    def fill(self, step=64 << 20, limit=1 << 40):
        """Allocate until it is refused, ever smaller; (bytes had, the error)."""
        had, error = 0, 0
        while step and had < limit:
            buffer, code = self.allocate(step)
            if buffer:
                had += step
            else:
                error, step = code, step // 2
        return had, error


class Spinner:
    """A kernel that takes a while."""

    def __init__(self, device, items=256, rounds=200000):
        cl, error = device.cl, c_int()
        self.cl, self.items = cl, c_size_t(items)
        self.queue = c_void_p(cl.clCreateCommandQueue(device.context, device.device, c_ulong(0),
                                                      byref(error)))
        assert error.value == 0, error
        text, length = ctypes.c_char_p(SOURCE), c_size_t(len(SOURCE))
        program = c_void_p(cl.clCreateProgramWithSource(device.context, 1, byref(text),
                                                        byref(length), byref(error)))
        assert error.value == 0, error
        code = cl.clBuildProgram(program, 0, None, None, None, None)
        assert code == 0, code
        self.kernel = c_void_p(cl.clCreateKernel(program, b"spin", byref(error)))
        assert error.value == 0, error
        self.out, code = device.allocate(4 * items)
        assert self.out, code
        rounds = c_uint(rounds)
        assert cl.clSetKernelArg(self.kernel, 0, c_size_t(8), byref(self.out)) == 0
        assert cl.clSetKernelArg(self.kernel, 1, c_size_t(4), byref(rounds)) == 0

    def spin(self):
        """Run it once; OpenCL's answer."""
        code = self.cl.clEnqueueNDRangeKernel(self.queue, self.kernel, 1, None,
                                              byref(self.items), None, 0, None, None)
        return code or self.cl.clFinish(self.queue)
