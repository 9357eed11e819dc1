"""The bindings carry the numbers of protocol.md, and compile.

SPDX-License-Identifier: Apache-2.0
"""
import os
import subprocess
import sys

import pytest

import golang
from system import ROOT, pb

# The frozen part: name -> number, type. What clients of before have compiled in.
FROZEN = {
    "JobSubmission": "code_package=1:bytes requirements=2:string* gpu_memory=3:float duration=4:int32",
    "JobEvent": "job_id=1:string state=2:JobState message=3:string result=4:bytes "
                "progress=5:float timestamp=6:int64",
    "JobStatusRequest": "job_id=1:string",
    "JobStatus": "job_id=1:string state=2:JobState message=3:string worker_id=4:string "
                 "partition_id=5:string container_id=6:string created_at=7:int64 "
                 "started_at=8:int64 completed_at=9:int64 error=10:string",
    "JobCancelRequest": "job_id=1:string",
    "CancelJobResponse": "cancelled=1:bool message=2:string",
    "ListWorkersRequest": "status_filter=1:string",
    "WorkerList": "workers=1:WorkerInfo*",
    "WorkerInfo": "id=1:string hostname=2:string address=3:string status=4:string "
                  "gpu_devices=5:GPUDevice*",
    "GPUDevice": "index=1:int32 name=2:string memory_mb=3:int32 total_capacity=4:float "
                 "allocated_amount=5:float active_partitions=6:PartitionInfo*",
    "PartitionInfo": "partition_id=1:string job_id=2:string amount=3:float "
                     "created_at=4:int64 expires_at=5:int64",
    "HealthCheckRequest": "",
    "HealthStatus": "status=1:string version=2:string active_jobs=3:int32 "
                    "available_workers=4:int32 swarm_connected=5:bool uptime_seconds=6:int64",
}
METHODS = {
    "SubmitJob": ("JobSubmission", "JobEvent", True),
    "GetJobStatus": ("JobStatusRequest", "JobStatus", False),
    "CancelJob": ("JobCancelRequest", "CancelJobResponse", False),
    "ListWorkers": ("ListWorkersRequest", "WorkerList", False),
    "HealthCheck": ("HealthCheckRequest", "HealthStatus", False),
}
SCALARS = {1: "double", 2: "float", 3: "int64", 5: "int32", 8: "bool", 9: "string", 12: "bytes"}


def spelled(field):
    named = field.message_type or field.enum_type
    kind = named.name if named else SCALARS[field.type]
    many = "*" if field.is_repeated else ""
    return f"{field.name}={field.number}:{kind}{many}"


@pytest.mark.parametrize("message", FROZEN)
def test_a_frozen_message_has_its_numbers_and_types(message):
    fields = pb.DESCRIPTOR.message_types_by_name[message].fields
    frozen = [spelled(f) for f in fields if f.number <= 15]
    assert frozen == FROZEN[message].split()


@pytest.mark.parametrize("method", METHODS)
def test_a_frozen_rpc_has_its_types(method):
    service = pb.DESCRIPTOR.services_by_name["OrchestratorService"]
    m = service.methods_by_name[method]
    assert service.full_name == "cumulus.orchestrator.OrchestratorService"
    assert (m.input_type.name, m.output_type.name, m.server_streaming) == METHODS[method]
    assert not m.client_streaming


def test_job_states_have_their_numbers():
    assert dict(pb.JobState.items()) == {
        "SCHEDULING": 0, "CREATING_PARTITION": 1, "RUNNING": 2,
        "COMPLETED": 3, "FAILED": 4, "CANCELLED": 5}


def test_python_imports_from_the_root_without_heavy_packages():
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c",
         "from sdk.proto import orchestrator_pb2, orchestrator_pb2_grpc\n"
         "import sys; print('torch' in sys.modules, 'numpy' in sys.modules)"],
        cwd=ROOT, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("False False\n", "")


def test_a_go_server_that_embeds_the_unimplemented_one_compiles(tmp_path):
    golang.build("./skeleton", tmp_path / "skeleton")
