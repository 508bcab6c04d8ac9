"""What must prove itself before it is switched to, and what a push says when it does not, over real containers."""

import json

import pytest

from tests.contract.pems import self_signed
from tests.e2e import state
from tests.fixtures import apps


def live_app(world, files=None):
    """An app whose first release serves "old"."""
    repo = world.app_repo(files or apps.web("old"))
    repo.push()
    return repo


def refused(world, repo, *words, serves="old"):
    """The push is refused with *words* in it; the old release serves, nothing is left over."""
    output = repo.push(check=False)
    assert output.returncode != 0
    for word in words:
        assert word in output.output, output.output
    assert "Traceback" not in output.output
    assert world.get(repo.host).text == serves
    state.come_to_rest(world)
    newest = world.local("releases", repo.app, "--format", "json").json[0]
    assert newest["state"] == "failed"
    rows = state.query(world, "select i.* from instances i join apps a on a.id = i.app_id where a.name = ?", repo.app)
    assert len(world.containers(repo.app)) == len(rows)
    return output.output


def test_a_container_that_exits_fails_at_once_with_its_last_words(world):
    repo = live_app(world)
    repo.commit(apps.dies(3, "cannot open the database"))
    refused(world, repo, "cannot open the database", "exit code 3")


def test_a_command_that_is_not_there(world):
    repo = live_app(world)
    repo.commit({"Procfile": "web: no-such-program --now\n"})
    refused(world, repo, "no-such-program")


@pytest.fixture
def impatient(world):
    repo = live_app(world)
    world.paas("checks:set", repo.app, "timeout", "2", check=True)
    return repo


def test_listening_on_loopback_only_is_said(world, impatient):
    impatient.commit(apps.loopback())
    refused(world, impatient, "127.0.0.1", "0.0.0.0")


def test_listening_on_the_wrong_port_is_said(world, impatient):
    world.paas("ports:set", impatient.app, "6000", check=True)
    impatient.commit(apps.other_port(7777))
    refused(world, impatient, "7777", "6000")


def test_listening_nowhere_is_said(world, impatient):
    impatient.commit(apps.deaf())
    refused(world, impatient, "listen")


def test_an_answer_of_500_is_not_ready(world, impatient):
    answer = "HTTP/1.1 500 Broken\\r\\nContent-Length: 5\\r\\n\\r\\nouch\\n"
    impatient.commit(apps.script(f"while true; do printf '{answer}' | nc -l -p $PORT; done\n"))
    refused(world, impatient, "500")


def test_an_exposed_port_is_served_on_the_platforms_port(world):
    repo = live_app(world, apps.web("exposed", expose=8000))
    assert world.get(repo.host).text == "exposed"
    assert world.settings.http_port != 8000
    (container,) = world.containers(repo.app)
    assert "PORT=8000" in container["Config"]["Env"]
    assert not container["HostConfig"]["PortBindings"]


def test_port_is_given_and_a_fixed_other_port_is_found(world):
    repo = live_app(world, apps.web("given"))
    assert "PORT=5000" in world.containers(repo.app)[0]["Config"]["Env"]
    repo.commit(apps.other_port(7777) | apps.page("found"))
    repo.push()
    assert world.get(repo.host).text == "found"


def with_health(command, text="healthy"):
    files = apps.web(text)
    lines = files["Dockerfile"] + f"HEALTHCHECK --interval=1s --timeout=1s --retries=1 CMD {command}\n"
    return {**files, "Dockerfile": lines}


def test_the_images_own_healthcheck_is_heard(world):
    repo = live_app(world, with_health("true", "old"))
    repo.commit(with_health("echo index is not built; exit 1", "new"))
    refused(world, repo, "unhealthy")


def test_app_json_names_path_and_status(world):
    check = {"type": "startup", "path": "/ready", "timeout": 1, "attempts": 2, "wait": 1}
    repo = live_app(world, {**apps.web("old"), "app.json": json.dumps({"healthchecks": {"web": [check]}}),
                            "www/ready": "yes"})
    repo.commit({"www/ready": None, "www/index.html": "new"})
    refused(world, repo, "/ready", "404")
    world.paas("checks:set", repo.app, "status", "404", check=True)
    repo.commit({}, "once more")
    repo.push()
    assert world.get(repo.host).text == "new"


def checked(*entries, **files):
    return {**files, "app.json": json.dumps({"healthchecks": {"web": entries}})}


def test_several_checks_of_app_json_each_by_its_name(world):
    """A page's content, a port beside that of web, commands in the container: one at a time they fail and are told."""
    short = {"timeout": 1, "attempts": 2, "wait": 1}
    up = {**short, "name": "page", "path": "/ready", "content": "yes", "httpHeaders": [{"name": "Host", "value": "in"}]}
    admin = {**short, "name": "admin", "listening": True, "port": 9100}
    schema = {**short, "name": "schema", "command": ["/bin/sh", "-c", "cat /app/schema && echo $GREETING"]}
    starts = "httpd -p 9100 -h /app/www\nexec httpd -f -p $PORT -h /app/www\n"
    files = {**apps.script(starts, "old"), "www/ready": "… yes …", "schema": "v1"}
    repo = live_app(world, checked(up, admin, schema, {"command": "test -e /app/www/ready"}, **files))
    repo.commit({"www/ready": "not yet", "www/index.html": "new"})
    refused(world, repo, "check 'page': GET /ready answered 200 without the text 'yes'")
    repo.commit({"www/ready": "yes", "schema": None})
    refused(world, repo, "check 'schema': the command", "exit code 1", "can't open '/app/schema'")
    repo.commit({"schema": "v2", "start": starts.partition("\n")[2]})
    refused(world, repo, "check 'admin': nothing listens on port 9100")
    repo.commit(checked(up, {**admin, "warn": True}, schema))
    output = repo.push().output
    assert "goes on without the check 'admin': nothing listens on port 9100" in output
    assert world.get(repo.host).text == "new"


def test_commands_that_hang_are_not_there_or_are_cut_off(world):
    repo = live_app(world)
    hangs = {"name": "slow", "command": "echo begun; sleep 600", "timeout": 1, "attempts": 1, "wait": 1}
    repo.commit(checked(hangs))
    refused(world, repo, "check 'slow'", "was not over within 1 s", "begun")
    repo.commit(checked({**hangs, "name": "gone", "command": ["/no/such/program"]}))
    refused(world, repo, "check 'gone'", "/no/such/program")


def test_a_check_that_has_failed_runs_its_command_in_the_container_if_that_is_alive(world):
    report = {"onFailure": {"command": "echo on $PAAS_APP: $(cat www/index.html); sleep 0.1; exit 4",
                            "url": "http://127.0.0.1:1/"}}
    short = {"timeout": 1, "attempts": 2, "wait": 1}
    repo = live_app(world, apps.script("exec httpd -f -p $PORT -h /app/www\n", "old"))
    repo.commit(checked({**short, "name": "page", "path": "/missing", **report}, **apps.page("new")))
    output = refused(world, repo, "onFailure of the check 'page' in web.1", f"on {repo.app}: new", "exit code 4",
                     "check 'page': GET /missing answered 404", "onFailure.url (the server sends no request")
    assert output.count(f"on {repo.app}: new") == 1
    repo.commit({"start": "sleep 1\nexit 3\n"})
    refused(world, repo, "exit code 3", "onFailure of the check 'page' in web.1", "did not run: the instance had ended")


TLS = """import http.server, os, ssl, threading


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"old")

    def log_message(self, *words):
        pass


def serve(port, secret):
    server = http.server.ThreadingHTTPServer(("", port), Page)
    if secret:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("/app/own.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


site, beside = os.environ["PORT"], os.environ.get("BESIDE")
if beside:
    threading.Thread(target=serve, args=(int(beside), True), daemon=True).start()
serve(int(site), not beside)
"""


def test_https_is_asked_beside_the_site_and_warned_of_on_it(world):
    """With a certificate of the app's own making. The switch sees that no visitor would be answered by TLS alone."""
    chain, key = self_signed("elsewhere.test")
    check = {"path": "/", "scheme": "https", "timeout": 2, "attempts": 2, "wait": 1}
    files = {"Dockerfile": "FROM python:3.11-slim\nCOPY . /app\nENV BESIDE=8443\nCMD exec python /app/server.py\n",
             "server.py": TLS, "own.pem": chain + key.reveal()}
    repo = live_app(world, checked({**check, "port": 8443}, **files))
    assert world.get(repo.host).text == "old"
    repo.commit(checked(check))
    refused(world, repo, "GET / over HTTPS: no TLS is spoken there")
    repo.commit({"Dockerfile": files["Dockerfile"].replace("BESIDE=8443", "BESIDE=")})
    refused(world, repo, "web.1 passes 'GET / over HTTPS' on port 5000 over HTTPS only", "not from the new release")


def test_checks_set_goes_over_app_json(world, impatient):
    world.paas("checks:set", impatient.app, "path", "/missing", check=True)
    impatient.commit(apps.page("new"))
    refused(world, impatient, "/missing", "404")
    world.paas("checks:set", impatient.app, "path", "/", check=True)
    impatient.push()
    assert world.get(impatient.host).text == "new"


def test_checks_can_be_switched_off(world, impatient):
    world.paas("checks:set", impatient.app, "path", "/missing", check=True)
    world.paas("checks:disable", impatient.app, check=True)
    impatient.commit(apps.page("new"))
    impatient.push()
    assert world.get(impatient.host).text == "new"


def test_a_worker_that_dies_keeps_web_from_being_switched(world):
    repo = live_app(world, apps.with_worker("old"))
    world.paas("ps:scale", repo.app, "worker=1", check=True)
    repo.commit({**apps.page("new"), "worker": "echo no queue at redis:6379 >&2\nsleep 0.5\nexit 9\n"})
    refused(world, repo, "worker.1", "no queue at redis:6379", "9")
    names = sorted(one["Config"]["Labels"]["paas.process"] for one in world.containers(repo.app))
    assert names == ["web", "worker"]


def test_scaling_brings_up_and_takes_away(world):
    repo = live_app(world, apps.with_worker("old"))
    world.paas("ps:scale", repo.app, "web=3", "worker=2", check=True)
    state.come_to_rest(world)
    assert len(world.containers(repo.app)) == 5
    world.paas("ps:scale", repo.app, "web=1", "worker=0", check=True)
    state.come_to_rest(world)
    assert len(world.containers(repo.app)) == 1
    assert world.get(repo.host).text == "old"


def test_running_out_of_memory_is_said(world):
    repo = live_app(world)
    world.paas("resource:limit", "--memory", "16m", repo.app, check=True)
    repo.commit(apps.script("tail /dev/zero\n"))
    refused(world, repo, "memory")


def test_a_slow_start_is_waited_for(world):
    repo = live_app(world)
    repo.commit(apps.slow_start(2, "slow"))
    repo.push()
    assert world.get(repo.host).text == "slow"
