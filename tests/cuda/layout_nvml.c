/* layout_nvml.c - prints the structures of NVML in driver.h, to compare them with nvml.h's. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifdef CHRONOS_OFFICIAL_NVML_H
#include <nvml.h>
typedef nvmlMemory_t memory;
typedef nvmlMemory_v2_t memory_v2;
typedef nvmlProcessInfo_v1_t process_v1;
typedef nvmlProcessInfo_t process;
typedef nvmlProcessDetail_v1_t detail;
typedef nvmlProcessDetailList_v1_t detail_list;
#define USED           usedGpuMemory
#define GPU            gpuInstanceId
#define PART           computeInstanceId
#define COUNT          numProcArrayEntries
#define LIST           procArray
#define MEMORY_VERSION nvmlMemory_v2
#else
#include "driver.h"
typedef struct nvml_memory memory;
typedef struct nvml_memory_v2 memory_v2;
typedef struct nvml_process_v1 process_v1;
typedef struct nvml_process process;
typedef struct nvml_process_detail detail;
typedef struct nvml_process_list detail_list;
#define USED           used_bytes
#define GPU            gpu_instance
#define PART           compute_instance
#define COUNT          count
#define LIST           list
#define MEMORY_VERSION (sizeof(memory_v2) | 2u << 24)
#endif

#include <stddef.h>
#include <stdio.h>

#define SIZE(type)         printf("%s %zu\n", #type, sizeof(type))
#define OFFSET(type, what) printf("%zu\n", offsetof(type, what))
#define VALUE(name)        printf("%s %lld\n", #name, (long long)name)

int main(void)
{
	SIZE(memory);
	OFFSET(memory, free);
	OFFSET(memory, used);
	SIZE(memory_v2);
	OFFSET(memory_v2, total);
	OFFSET(memory_v2, reserved);
	OFFSET(memory_v2, free);
	OFFSET(memory_v2, used);
	printf("%lld\n", (long long)MEMORY_VERSION);
	SIZE(process_v1);
	OFFSET(process_v1, USED);
	SIZE(process);
	OFFSET(process, USED);
	OFFSET(process, GPU);
	OFFSET(process, PART);
	SIZE(detail);
	OFFSET(detail, USED);
	SIZE(detail_list);
	OFFSET(detail_list, COUNT);
	OFFSET(detail_list, LIST);
	VALUE(NVML_SUCCESS);
	VALUE(NVML_ERROR_INSUFFICIENT_SIZE);
	VALUE(NVML_ERROR_UNKNOWN);
	return 0;
}
