"""`tessera status`: what reading everything again found, for who looks from outside."""

import json

from harness import rows
from harness.cli import tessera
from harness.flight import Client
from harness.waiting import until

CONFIG = """
[scrub]
period_days = 1
"""


def status(server):
    found = tessera("status", "--data-dir", str(server.data))
    return found.returncode, json.loads(found.stdout)


def test_a_manifest_that_rots(own_server):
    with Client(own_server.location) as client:
        client.record_sequence("drive", {"a": [rows.counters(range(100))]})
    own_server.stop()
    (manifest,) = (path for path in own_server.files("*.json") if path.parent.name == "manifests")
    content = bytearray(manifest.read_bytes())
    content[len(content) // 2] ^= 4
    manifest.write_bytes(content)
    (own_server.data / "catalog" / "scrub.json").unlink(missing_ok=True)
    own_server.start()

    def ended():
        code, said = status(own_server)
        return said["last_scrub"] and (code, said)

    code, said = until(ended, "a whole pass")
    assert code == 3 and said["running"], said
    assert said["last_scrub"]["damaged"] == 1 and said["last_scrub"]["chunks"] == 1, said
    (finding,) = said["last_scrub"]["findings"]
    assert finding["name"] == "drive" and finding["part"].startswith("manifest"), finding
    with Client(own_server.location) as client:
        assert client.read("drive/a").num_rows == 100
        (told,) = client.notifications("drive")
        assert "manifest" in json.dumps(told), told
    own_server.stop()
    assert status(own_server)[1]["running"] is False


def test_nothing_there(tmp_path):
    found = tessera("status", "--data-dir", str(tmp_path))
    assert found.returncode == 1 and "no data directory" in found.stderr, found
