/* symbols.h - which functions of the driver are covered, and since when they exist. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COVERED(exported name, name for cuGetProcAddress, CUDA version of this ABI, stream 0)
 * where stream 0 is ANY (no stream, or the same for all), LEGACY or THREAD (per thread).
 * Each has a hook of the exported name.  USED functions are only called.
 *
 * Versions are those of cudaTypedefs.h; the runtime asks for a name at the version that
 * brought the ABI it was built for, and gets the newest that is not newer.  The variants
 * per thread come with their ABI.
 */
#pragma once

/* The newest version whose functions were looked through for this table. */
enum { KNOWN_CUDA_VERSION = 13050 };

#define COVERED_CUDA_SYMBOLS(COVERED)                                                    \
	COVERED(cuGetProcAddress, cuGetProcAddress, 11030, ANY)                          \
	COVERED(cuGetProcAddress_v2, cuGetProcAddress, 12000, ANY)                       \
	COVERED(cuInit, cuInit, 2000, ANY)                                               \
	COVERED(cuDeviceTotalMem, cuDeviceTotalMem, 2000, ANY)                           \
	COVERED(cuDeviceTotalMem_v2, cuDeviceTotalMem, 3020, ANY)                        \
	COVERED(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, 7000, ANY)           \
	COVERED(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease, 7000, ANY)         \
	COVERED(cuDevicePrimaryCtxRelease_v2, cuDevicePrimaryCtxRelease, 11000, ANY)     \
	COVERED(cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset, 7000, ANY)             \
	COVERED(cuDevicePrimaryCtxReset_v2, cuDevicePrimaryCtxReset, 11000, ANY)         \
	COVERED(cuCtxCreate, cuCtxCreate, 2000, ANY)                                     \
	COVERED(cuCtxCreate_v2, cuCtxCreate, 3020, ANY)                                  \
	COVERED(cuCtxCreate_v3, cuCtxCreate, 11040, ANY)                                 \
	COVERED(cuCtxCreate_v4, cuCtxCreate, 12050, ANY)                                 \
	COVERED(cuCtxDestroy, cuCtxDestroy, 2000, ANY)                                   \
	COVERED(cuCtxDestroy_v2, cuCtxDestroy, 4000, ANY)                                \
	COVERED(cuCtxAttach, cuCtxAttach, 2000, ANY)                                     \
	COVERED(cuCtxDetach, cuCtxDetach, 2000, ANY)                                     \
	COVERED(cuCtxSetLimit, cuCtxSetLimit, 3010, ANY)                                 \
	COVERED(cuGreenCtxCreate, cuGreenCtxCreate, 12040, ANY)                          \
	COVERED(cuGreenCtxDestroy, cuGreenCtxDestroy, 12040, ANY)                        \
	COVERED(cuCtxSynchronize, cuCtxSynchronize, 2000, ANY)                           \
	COVERED(cuCtxSynchronize_v2, cuCtxSynchronize, 13000, ANY)                       \
	COVERED(cuMemGetInfo, cuMemGetInfo, 2000, ANY)                                   \
	COVERED(cuMemGetInfo_v2, cuMemGetInfo, 3020, ANY)                                \
	COVERED(cuMemAlloc, cuMemAlloc, 2000, ANY)                                       \
	COVERED(cuMemAlloc_v2, cuMemAlloc, 3020, ANY)                                    \
	COVERED(cuMemAllocPitch, cuMemAllocPitch, 2000, ANY)                             \
	COVERED(cuMemAllocPitch_v2, cuMemAllocPitch, 3020, ANY)                          \
	COVERED(cuMemAllocManaged, cuMemAllocManaged, 6000, ANY)                         \
	COVERED(cuMemFree, cuMemFree, 2000, ANY)                                         \
	COVERED(cuMemFree_v2, cuMemFree, 3020, ANY)                                      \
	COVERED(cuMemAllocAsync, cuMemAllocAsync, 11020, LEGACY)                         \
	COVERED(cuMemAllocAsync_ptsz, cuMemAllocAsync, 11020, THREAD)                    \
	COVERED(cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync, 11020, LEGACY)         \
	COVERED(cuMemAllocFromPoolAsync_ptsz, cuMemAllocFromPoolAsync, 11020, THREAD)    \
	COVERED(cuMemFreeAsync, cuMemFreeAsync, 11020, LEGACY)                           \
	COVERED(cuMemFreeAsync_ptsz, cuMemFreeAsync, 11020, THREAD)                      \
	COVERED(cuMemPoolCreate, cuMemPoolCreate, 11020, ANY)                            \
	COVERED(cuMemPoolDestroy, cuMemPoolDestroy, 11020, ANY)                          \
	COVERED(cuMemPoolTrimTo, cuMemPoolTrimTo, 11020, ANY)                            \
	COVERED(cuDeviceGetDefaultMemPool, cuDeviceGetDefaultMemPool, 11020, ANY)        \
	COVERED(cuDeviceGetMemPool, cuDeviceGetMemPool, 11020, ANY)                      \
	COVERED(cuMemGetDefaultMemPool, cuMemGetDefaultMemPool, 13000, ANY)              \
	COVERED(cuMemGetMemPool, cuMemGetMemPool, 13000, ANY)                            \
	COVERED(cuMemPoolImportFromShareableHandle, cuMemPoolImportFromShareableHandle,  \
		11020, ANY)                                                              \
	COVERED(cuDeviceGraphMemTrim, cuDeviceGraphMemTrim, 11040, ANY)                  \
	COVERED(cuArrayCreate, cuArrayCreate, 2000, ANY)                                 \
	COVERED(cuArray3DCreate, cuArray3DCreate, 2000, ANY)                             \
	COVERED(cuArrayCreate_v2, cuArrayCreate, 3020, ANY)                              \
	COVERED(cuArray3DCreate_v2, cuArray3DCreate, 3020, ANY)                          \
	COVERED(cuArrayDestroy, cuArrayDestroy, 2000, ANY)                               \
	COVERED(cuMipmappedArrayCreate, cuMipmappedArrayCreate, 5000, ANY)               \
	COVERED(cuMipmappedArrayDestroy, cuMipmappedArrayDestroy, 5000, ANY)             \
	COVERED(cuMemCreate, cuMemCreate, 10020, ANY)                                    \
	COVERED(cuMemRelease, cuMemRelease, 10020, ANY)                                  \
	COVERED(cuMemMap, cuMemMap, 10020, ANY)                                          \
	COVERED(cuMemMapArrayAsync, cuMemMapArrayAsync, 11010, LEGACY)                   \
	COVERED(cuMemMapArrayAsync_ptsz, cuMemMapArrayAsync, 11010, THREAD)              \
	COVERED(cuMemUnmap, cuMemUnmap, 10020, ANY)                                      \
	COVERED(cuMemRetainAllocationHandle, cuMemRetainAllocationHandle, 11000, ANY)    \
	COVERED(cuLaunch, cuLaunch, 2000, ANY)                                           \
	COVERED(cuLaunchGrid, cuLaunchGrid, 2000, ANY)                                   \
	COVERED(cuLaunchGridAsync, cuLaunchGridAsync, 2000, ANY)                         \
	COVERED(cuLaunchKernel, cuLaunchKernel, 4000, LEGACY)                            \
	COVERED(cuLaunchKernel_ptsz, cuLaunchKernel, 4000, THREAD)                       \
	COVERED(cuLaunchKernelEx, cuLaunchKernelEx, 11060, LEGACY)                       \
	COVERED(cuLaunchKernelEx_ptsz, cuLaunchKernelEx, 11060, THREAD)                  \
	COVERED(cuLaunchCooperativeKernel, cuLaunchCooperativeKernel, 9000, LEGACY)      \
	COVERED(cuLaunchCooperativeKernel_ptsz, cuLaunchCooperativeKernel, 9000, THREAD) \
	COVERED(cuLaunchCooperativeKernelMultiDevice,                                    \
		cuLaunchCooperativeKernelMultiDevice, 9000, ANY)                         \
	COVERED(cuGraphLaunch, cuGraphLaunch, 10000, LEGACY)                             \
	COVERED(cuGraphLaunch_ptsz, cuGraphLaunch, 10000, THREAD)                        \
	COVERED(cuGraphUpload, cuGraphUpload, 11010, LEGACY)                             \
	COVERED(cuGraphUpload_ptsz, cuGraphUpload, 11010, THREAD)                        \
	COVERED(cuGraphInstantiate, cuGraphInstantiate, 10000, ANY)                      \
	COVERED(cuGraphInstantiate_v2, cuGraphInstantiate, 11000, ANY)                   \
	COVERED(cuGraphInstantiateWithFlags, cuGraphInstantiateWithFlags, 11040, ANY)    \
	COVERED(cuGraphInstantiateWithParams, cuGraphInstantiateWithParams, 12000,       \
		LEGACY)                                                                  \
	COVERED(cuGraphInstantiateWithParams_ptsz, cuGraphInstantiateWithParams, 12000,  \
		THREAD)                                                                  \
	COVERED(cuGraphExecDestroy, cuGraphExecDestroy, 10000, ANY)                      \
	COVERED(cuGraphAddMemAllocNode, cuGraphAddMemAllocNode, 11040, ANY)              \
	COVERED(cuGraphAddNode, cuGraphAddNode, 12020, ANY)                              \
	COVERED(cuGraphAddNode_v2, cuGraphAddNode, 12030, ANY)                           \
	COVERED(cuGraphAddNode_v3, cuGraphAddNode, 13040, ANY)                           \
	COVERED(cuStreamSynchronize, cuStreamSynchronize, 2000, LEGACY)                  \
	COVERED(cuStreamSynchronize_ptsz, cuStreamSynchronize, 2000, THREAD)             \
	COVERED(cuStreamQuery, cuStreamQuery, 2000, LEGACY)                              \
	COVERED(cuStreamQuery_ptsz, cuStreamQuery, 2000, THREAD)                         \
	COVERED(cuStreamDestroy, cuStreamDestroy, 2000, ANY)                             \
	COVERED(cuStreamDestroy_v2, cuStreamDestroy, 4000, ANY)                          \
	COVERED(cuStreamBeginCapture, cuStreamBeginCapture, 10000, LEGACY)               \
	COVERED(cuStreamBeginCapture_ptsz, cuStreamBeginCapture, 10000, THREAD)          \
	COVERED(cuStreamBeginCapture_v2, cuStreamBeginCapture, 10010, LEGACY)            \
	COVERED(cuStreamBeginCapture_v2_ptsz, cuStreamBeginCapture, 10010, THREAD)       \
	COVERED(cuStreamBeginCaptureToGraph, cuStreamBeginCaptureToGraph, 12030, LEGACY) \
	COVERED(cuStreamBeginCaptureToGraph_ptsz, cuStreamBeginCaptureToGraph, 12030,    \
		THREAD)                                                                  \
	COVERED(cuStreamBeginRecaptureToGraph, cuStreamBeginRecaptureToGraph, 13030,     \
		LEGACY)                                                                  \
	COVERED(cuStreamBeginRecaptureToGraph_ptsz, cuStreamBeginRecaptureToGraph,       \
		13030, THREAD)                                                           \
	COVERED(cuStreamBeginCaptureToCig, cuStreamBeginCaptureToCig, 13010, LEGACY)     \
	COVERED(cuStreamBeginCaptureToCig_ptsz, cuStreamBeginCaptureToCig, 13010,        \
		THREAD)                                                                  \
	COVERED(cuStreamEndCaptureToCig, cuStreamEndCaptureToCig, 13010, LEGACY)         \
	COVERED(cuStreamEndCaptureToCig_ptsz, cuStreamEndCaptureToCig, 13010, THREAD)    \
	COVERED(cuStreamEndCapture, cuStreamEndCapture, 10000, LEGACY)                   \
	COVERED(cuStreamEndCapture_ptsz, cuStreamEndCapture, 10000, THREAD)              \
	COVERED(cuEventRecord, cuEventRecord, 2000, LEGACY)                              \
	COVERED(cuEventRecord_ptsz, cuEventRecord, 2000, THREAD)                         \
	COVERED(cuEventRecordWithFlags, cuEventRecordWithFlags, 11010, LEGACY)           \
	COVERED(cuEventRecordWithFlags_ptsz, cuEventRecordWithFlags, 11010, THREAD)      \
	COVERED(cuCtxRecordEvent, cuCtxRecordEvent, 12050, ANY)                          \
	COVERED(cuGreenCtxRecordEvent, cuGreenCtxRecordEvent, 12040, ANY)                \
	COVERED(cuEventSynchronize, cuEventSynchronize, 2000, ANY)                       \
	COVERED(cuEventQuery, cuEventQuery, 2000, ANY)                                   \
	COVERED(cuEventDestroy, cuEventDestroy, 2000, ANY)                               \
	COVERED(cuEventDestroy_v2, cuEventDestroy, 4000, ANY)                            \
	COVERED(cuMemcpyDtoH_v2, cuMemcpyDtoH, 3020, LEGACY)                             \
	COVERED(cuMemcpyDtoH_v2_ptds, cuMemcpyDtoH, 3020, THREAD)

#define COVERED_NVML_SYMBOLS(COVERED)                                                    \
	COVERED(nvmlDeviceGetMemoryInfo, nvmlDeviceGetMemoryInfo, 0, ANY)                \
	COVERED(nvmlDeviceGetMemoryInfo_v2, nvmlDeviceGetMemoryInfo_v2, 0, ANY)          \
	COVERED(nvmlDeviceGetComputeRunningProcesses,                                    \
		nvmlDeviceGetComputeRunningProcesses, 0, ANY)                            \
	COVERED(nvmlDeviceGetComputeRunningProcesses_v2,                                 \
		nvmlDeviceGetComputeRunningProcesses_v2, 0, ANY)                         \
	COVERED(nvmlDeviceGetComputeRunningProcesses_v3,                                 \
		nvmlDeviceGetComputeRunningProcesses_v3, 0, ANY)                         \
	COVERED(nvmlDeviceGetGraphicsRunningProcesses,                                   \
		nvmlDeviceGetGraphicsRunningProcesses, 0, ANY)                           \
	COVERED(nvmlDeviceGetGraphicsRunningProcesses_v2,                                \
		nvmlDeviceGetGraphicsRunningProcesses_v2, 0, ANY)                        \
	COVERED(nvmlDeviceGetGraphicsRunningProcesses_v3,                                \
		nvmlDeviceGetGraphicsRunningProcesses_v3, 0, ANY)                        \
	COVERED(nvmlDeviceGetMPSComputeRunningProcesses,                                 \
		nvmlDeviceGetMPSComputeRunningProcesses, 0, ANY)                         \
	COVERED(nvmlDeviceGetMPSComputeRunningProcesses_v2,                              \
		nvmlDeviceGetMPSComputeRunningProcesses_v2, 0, ANY)                      \
	COVERED(nvmlDeviceGetMPSComputeRunningProcesses_v3,                              \
		nvmlDeviceGetMPSComputeRunningProcesses_v3, 0, ANY)                      \
	COVERED(nvmlDeviceGetRunningProcessDetailList,                                   \
		nvmlDeviceGetRunningProcessDetailList, 0, ANY)

#define COVERED_SYMBOLS(COVERED)                                                         \
	COVERED_CUDA_SYMBOLS(COVERED)                                                    \
	COVERED_NVML_SYMBOLS(COVERED)

#define USED_SYMBOLS(USED)                                                               \
	USED(cuDeviceGetCount)                                                           \
	USED(cuDeviceGetUuid)                                                            \
	USED(cuDeviceGetUuid_v2)                                                         \
	USED(cuDevicePrimaryCtxGetState)                                                 \
	USED(cuCtxGetCurrent)                                                            \
	USED(cuCtxGetDevice)                                                             \
	USED(cuCtxPushCurrent_v2)                                                        \
	USED(cuCtxPopCurrent_v2)                                                         \
	USED(cuStreamGetCtx)                                                             \
	USED(cuStreamGetCtx_v2)                                                          \
	USED(cuStreamIsCapturing)                                                        \
	USED(cuThreadExchangeStreamCaptureMode)                                          \
	USED(cuEventCreate)                                                              \
	USED(cuEventElapsedTime)                                                         \
	USED(cuMemPoolGetAttribute)                                                      \
	USED(cuDeviceSetMemPool)                                                         \
	USED(cuGraphGetNodes)                                                            \
	USED(cuGraphNodeGetType)                                                         \
	USED(cuGraphChildGraphNodeGetGraph)                                              \
	USED(cuGraphMemAllocNodeGetParams)                                               \
	USED(cuDeviceGetGraphMemAttribute)                                               \
	USED(nvmlInit_v2)                                                                \
	USED(nvmlDeviceGetHandleByUUID)                                                  \
	USED(nvmlDeviceGetUUID)                                                          \
	USED(nvmlDeviceGetIndex)
