"""What every gRPC client expects beside the service itself: health and reflection.

Asked with grpcio's own packages and with grpcurl, which knows nothing but what it is told.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import subprocess

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as database
from grpc_reflection.v1alpha import reflection_pb2

import golang
from client import HELLO, package
from system import BIN, DEADLINE_S, ROOT, channel_to, pb

SERVICE = "cumulus.orchestrator.OrchestratorService"
SERVICES = [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def asking(service=""):
    return health_pb2.HealthCheckRequest(service=service)


# ---- grpc.health.v1

@pytest.mark.parametrize("service", ["", SERVICE])
def test_a_healthy_system_is_serving(client, service):
    stub = health_pb2_grpc.HealthStub(client.channel)
    assert stub.Check(asking(service), timeout=DEADLINE_S).status == SERVING
    assert next(iter(stub.Watch(asking(service), timeout=DEADLINE_S))).status == SERVING


def test_a_service_that_nobody_knows_is_not_found_and_watched_all_the_same(client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(asking("no.such.Service"), timeout=DEADLINE_S)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert "no.such.Service" in raised.value.details()
    watch = stub.Watch(asking("no.such.Service"), timeout=DEADLINE_S)
    assert next(iter(watch)).status == SERVICE_UNKNOWN
    assert not watch.done()
    watch.cancel()


def test_watchers_hear_of_each_change_once(new_system):
    system = new_system("--worker", "external")
    with channel_to(system) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(asking(service), timeout=DEADLINE_S)
                   for service in ("", SERVICE, "") for _ in range(5)]
        heard = [iter(watch) for watch in watches]
        assert [next(h).status for h in heard] == [NOT_SERVING] * len(heard)
        assert stub.Check(asking(), timeout=DEADLINE_S).status == NOT_SERVING
        worker = subprocess.Popen(
            [BIN / "cumulus-worker", "--connect", f"unix:{system.data}/orchestrator/worker.sock",
             "--data", system.parent / "worker", "--devices", "simulated:1"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert [next(h).status for h in heard] == [SERVING] * len(heard)
        system.stop()  # open watches keep it from nothing; the worker ends with it
        assert {watch.code() for watch in watches} == {grpc.StatusCode.UNAVAILABLE}
    assert worker.wait(timeout=DEADLINE_S) == 0
    system.start()


# ---- reflection

@pytest.fixture(params=["v1", "v1alpha"])
def reflect(client, request):
    """Ask several questions on one stream; returns the answers."""
    method = client.channel.stream_stream(
        f"/grpc.reflection.{request.param}.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)

    def ask(*questions):
        return list(method(iter(questions), timeout=DEADLINE_S))

    return ask


def question(**fields):
    return reflection_pb2.ServerReflectionRequest(host="here", **fields)


def test_one_stream_answers_every_kind_of_question_in_order(reflect):
    questions = [
        question(list_services=""),
        question(file_by_filename="orchestrator.proto"),
        question(file_containing_symbol=f"{SERVICE}.SubmitJob"),
        question(file_containing_symbol="no.such.Symbol"),
        question(file_by_filename="worker.proto"),
        question(all_extension_numbers_of_type="cumulus.orchestrator.JobEvent"),
        question(all_extension_numbers_of_type="cumulus.orchestrator.JobState"),
        question(file_containing_extension=reflection_pb2.ExtensionRequest(
            containing_type="cumulus.orchestrator.JobEvent", extension_number=100)),
    ]
    answers = reflect(*questions)
    assert [a.original_request for a in answers] == questions
    assert {a.valid_host for a in answers} == {"here"}
    assert [a.WhichOneof("message_response") for a in answers] == [
        "list_services_response", "file_descriptor_response", "file_descriptor_response",
        "error_response", "error_response", "all_extension_numbers_response", "error_response",
        "error_response"]
    assert [s.name for s in answers[0].list_services_response.service] == SERVICES
    assert answers[1].file_descriptor_response == answers[2].file_descriptor_response
    assert [a.error_response.error_code for a in answers if a.HasField("error_response")] == [5] * 4
    assert "no.such.Symbol" in answers[3].error_response.error_message
    numbers = answers[5].all_extension_numbers_response
    assert numbers.base_type_name == "cumulus.orchestrator.JobEvent"
    assert not numbers.extension_number


def test_a_question_that_asks_nothing_is_invalid(reflect):
    with pytest.raises(grpc.RpcError) as raised:
        reflect(question())
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_two_questions_in_one_message_are_refused(reflect):
    both = (question(file_by_filename="orchestrator.proto").SerializeToString()
            + question(list_services="").SerializeToString()[len(b"\n\x04here"):])
    with pytest.raises(grpc.RpcError) as raised:
        reflect(both)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "only one" in raised.value.details()


def test_thousands_of_questions_on_one_stream_are_all_answered(reflect):
    many = [question(file_containing_symbol="x" * (i % 200)) for i in range(2000)]
    assert [a.original_request for a in reflect(*many)] == many


def test_a_client_without_stubs_builds_them_and_calls(client):
    db = database.ProtoReflectionDescriptorDatabase(client.channel)
    assert sorted(db.get_services()) == sorted(SERVICES)
    pool = descriptor_pool.DescriptorPool(db)
    service = pool.FindServiceByName(SERVICE)
    assert [m.name for m in service.methods] == [
        m.name for m in pb.DESCRIPTOR.services_by_name["OrchestratorService"].methods]
    method = service.FindMethodByName("HealthCheck")
    answer = client.channel.unary_unary(
        f"/{SERVICE}/HealthCheck",
        request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )(message_factory.GetMessageClass(method.input_type)(), timeout=DEADLINE_S)
    assert answer.status == "healthy"


# ---- grpcurl, without any file of ours

@pytest.fixture
def grpcurl(client):
    golang.needed()

    def run(*words, data=None):
        told = ["-d", json.dumps(data)] if data is not None else []
        return subprocess.run(
            [ROOT / "build" / "tools" / "grpcurl", "-plaintext", *told, client.system.address,
             *words], capture_output=True, text=True, timeout=DEADLINE_S)

    return run


def test_grpcurl_lists_services_and_methods(grpcurl):
    assert grpcurl("list").stdout.split() == SERVICES
    methods = pb.DESCRIPTOR.services_by_name["OrchestratorService"].methods
    assert grpcurl("list", SERVICE).stdout.split() == sorted(f"{SERVICE}.{m.name}" for m in methods)


def test_grpcurl_describes_types_with_their_comments(grpcurl):
    told = grpcurl("describe", "cumulus.orchestrator.JobSubmission").stdout
    assert "float gpu_memory = 3;" in told
    assert "map<string, string> labels = 17;" in told
    assert "Exactly what a watcher misses" in grpcurl("describe", SERVICE).stdout
    for name in SERVICES:
        assert "is a service" in grpcurl("describe", name).stdout
    failed = grpcurl("describe", "cumulus.orchestrator.Nothing")
    assert failed.returncode != 0 and "not found" in failed.stderr


def test_grpcurl_calls_each_rpc(grpcurl, client):
    run = grpcurl(f"{SERVICE}/SubmitJob", data={
        "code_package": base64.b64encode(package(HELLO)).decode(), "gpu_memory": 0.5,
        "duration": 60})
    assert run.returncode == 0, run.stderr
    assert '"state": "COMPLETED"' in run.stdout
    job = {"job_id": json.JSONDecoder().raw_decode(run.stdout)[0]["jobId"]}
    client.know(job["job_id"])
    expected = {
        "GetJobStatus": (job, '"state": "COMPLETED"'),
        "CancelJob": (job, ""),
        "ListWorkers": ({}, '"gpuDevices"'),
        "HealthCheck": ({}, '"healthy"'),
        "WatchJob": (job, '"state": "COMPLETED"'),
        "ListJobs": ({}, job["job_id"]),
        "GetJobLogs": (job, base64.b64encode(b"hello\n").decode()),
        "GetJobResult": (job, '"result"'),
    }
    for method in pb.DESCRIPTOR.services_by_name["OrchestratorService"].methods:
        if method.name == "SubmitJob":
            continue
        data, answer = expected.get(method.name, ({}, None))
        told = grpcurl(f"{SERVICE}/{method.name}", data=data)
        if answer is not None:
            assert told.returncode == 0, f"{method.name}: {told.stderr}"
            assert answer in told.stdout, f"{method.name}: {told.stdout}"
        else:  # it is up to the method what it says to an empty request
            assert told.returncode == 0 or "Code: " in told.stderr, f"{method.name}: {told.stderr}"
            assert "unknown method" not in told.stderr, f"{method.name}: {told.stderr}"


def test_grpcurl_asks_for_health_and_its_list(grpcurl):
    assert json.loads(grpcurl("grpc.health.v1.Health/Check").stdout) == {"status": "SERVING"}
    assert json.loads(grpcurl("grpc.health.v1.Health/List").stdout) == {
        "statuses": {"": {"status": "SERVING"}, SERVICE: {"status": "SERVING"}}}
    told = grpcurl("grpc.health.v1.Health/Check", data={"service": "no.such.Service"})
    assert told.returncode != 0 and "Code: NotFound" in told.stderr
