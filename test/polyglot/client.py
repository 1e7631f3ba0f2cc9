"""A client in Python that proposes once, and says what its library makes of the answer. Usage: client.py ADDRESS JSON,
with a ProposeRequest's client_id, sequence and expected_term, command_bytes, timeout_seconds, and how many at once.
Says `ready` once it is connected, waits for a line, proposes, and prints the first failure, or the last answer, as JSON.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python-kv" / "stubs"))

import grpc  # noqa: E402
from google.rpc import error_details_pb2  # noqa: E402
from grpc_status import rpc_status  # noqa: E402
from raft.v1 import log_pb2, log_pb2_grpc  # noqa: E402


def read_back(error):
    """What a failed call carries."""
    found = {"code": error.code().name, "message": error.details(), "violations": [], "trailers": {}}
    for key, value in error.trailing_metadata() or ():
        if key.startswith("raft-"):
            found["trailers"][key] = value
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            found |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
        elif detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            found["retry_seconds"] = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Is(bad.DESCRIPTOR) and detail.Unpack(bad):
            found["violations"] = [violation.field for violation in bad.field_violations]
    return found


def main():
    address, fields = sys.argv[1], json.loads(sys.argv[2])
    stub = log_pb2_grpc.LogServiceStub(grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]))
    stub.GetState(log_pb2.GetStateRequest(), timeout=10)
    print("ready", flush=True)
    sys.stdin.readline()
    request = log_pb2.ProposeRequest(
        command=b"c" * fields["command_bytes"],
        client_id=fields["client_id"],
        sequence=fields["sequence"],
        expected_term=fields["expected_term"],
    )
    calls = [stub.Propose.future(request, timeout=fields["timeout_seconds"]) for _ in range(fields["at_once"])]
    answer = {"code": "OK"}
    for call in calls:
        error = call.exception()
        if error is not None:
            answer = read_back(error)
            break
        answer |= {"duplicate": call.result().duplicate}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
