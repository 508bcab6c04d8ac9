"""The proxy's whole config as data: a pure function of the sites. https://caddyserver.com/docs/json/

One ``map`` leads from a host to the files of its app; ``{file.…}`` upstreams are read at each request, so a deploy
renames files and reloads nothing. Every string of a user's passes the host-name grammar again here: a brace, which
would be a placeholder to the proxy, cannot occur.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from paas.adapters import caddy_ports, caddy_reload, caddy_traffic
from paas.adapters.caddy_layout import SLOTS, STILL_PAGES, UNKNOWN_HOST, Layout
from paas.adapters.caddy_tls import NO_CERTIFICATE, certificate_names, presence_file, tls_app
from paas.adapters.templates import FAILING, HELD, OTHER, PAGES, SLOW, UNREACHED, page_html
from paas.errors import ProxyError
from paas.model import names
from paas.ports import Page, ProxyOptions, Site
from paas.settings import Settings

UPSTREAM_HEADER = "X-Paas-Upstream"      # on the internal listener only: who answered
HOST = "paas_host"                       # request variable: the canonical name of the host asked for
UPSTREAM = "paas.up{}"
CERTIFICATE = "paas.certificate"

TRY_SECONDS = 5                          # a request waits so long for an app that refuses connections
HOLD_SECONDS = 55                        # and so long in addition while its app is parked
# An instance that is gone has no address: nothing refuses, each attempt takes all of this. Short, so that many fit into
# TRY_SECONDS and a request finds one that lives; the kernel of a living one answers within a millisecond.
DIAL_TIMEOUT = "250ms"
ANSWER_TIMEOUT = "300s"                  # from the request's last byte to the answer's first: then 504
WAKE_TIMEOUT = "90s"                     # for the waker's answer; its own limit is below that
TARGET_HEADER = "X-Paas-Target"          # of the waker's answer: "ip:port"
HEADER_TIMEOUT = "15s"
HEADER_BYTES = 64 * 1024
# Caddy writes the request out for this logger at each request, needed or not (6 % of its time); what fails is in
# http.log.error as well.
PROXY_LOG = "http.handlers.reverse_proxy"
# Websockets outlive a reload (an app or a domain came or went) by this. Each generation of the config that still holds
# one costs memory: 9 MB with 1,000 hosts, so it cannot be without end.
STREAM_CLOSE_DELAY = "1h"
# Below the shortest keep-alive of common app servers (gunicorn: 2 s), so that the proxy never sends a POST into a
# connection that the app is just closing.
UPSTREAM_IDLE = "1500ms"
# Headers by which apps believe to know the client; only the proxy may set them.
CLIENT_HEADERS = ("X-Forwarded-*", "Forwarded", "X-Real-Ip", "X-Request-Id")


def make_config(sites: Sequence[Site], options: ProxyOptions, settings: Settings,
                taken: Collection[int] = (), generation: int = 0) -> dict:
    """The config for *sites*; every server, page and certificate in it. Equal input gives equal output.

    :param taken: public ports to leave out. :param generation: 0 or 1, never that of the config which this one follows
        (:mod:`paas.adapters.caddy_reload`).
    :raises BadInput: a host is not a host name. :raises ProxyError: an option holds a brace.
    """
    layout = Layout(settings)
    check_text(options.acme_email, options.acme_directory, options.acme_ca_root, str(layout.root), str(layout.sockets))
    sites = sorted(({"site": site, "hosts": [names.domain(host) for host in site.hosts]} for site in sites),
                   key=lambda one: one["site"].app_id)
    return {
        "admin": {"listen": f"unix/{layout.admin}|0600", "config": {"persist": False}},
        "logging": {"logs": logs(options, layout)},
        "storage": {"module": "file_system", "root": str(layout.storage)},
        "apps": {
            "http": {"http_port": settings.http_port, "https_port": settings.https_port,
                     "shutdown_delay": f"{settings.reload_overlap_ms:d}ms",
                     "servers": servers(sites, options, layout, generation)
                     | port_servers(sites, options, layout, taken, generation)},
            "tls": tls_app([one["site"] for one in sites], options, layout),
        },
    }


def check_text(*texts: str) -> None:
    for text in texts:
        if set(text) & set("{}\\\0\n"):
            raise ProxyError(f"the proxy's options hold a character that cannot be used: {names.printable(text)}",
                             "Leave out braces, backslashes and line ends.")


def logs(options: ProxyOptions, layout: Layout) -> dict:
    """With requests counted, Caddy would write each out for every log, also one that leaves it out in the end."""
    default = {"level": "INFO", "exclude": ["admin.api", PROXY_LOG],
               "sampling": {"interval": 1_000_000_000, "first": 50, "thereafter": 100}}
    if not options.counted:
        return {"default": default}
    default["exclude"].append(f"http.log.access.{caddy_traffic.LOGGER}")
    default["encoder"] = {"format": "filter", "wrap": {"format": "json"}, "fields": {"request": {"filter": "delete"}}}
    return {"default": default, "count": caddy_traffic.logging(layout)}


OWN = {"automatic_https": {"disable": True}}


def servers(sites: list[dict], options: ProxyOptions, layout: Layout, generation: int) -> dict:
    """``web`` for clients, ``ask`` for the daemon (same routes, names the upstream), one for each page."""
    hosts = hosts_map(sites, options, layout)
    web = {**OWN, **web_listeners(layout.settings, generation), "tls_connection_policies": [{}],
           "read_header_timeout": HEADER_TIMEOUT, "max_header_bytes": HEADER_BYTES,
           "routes": [caddy_reload.leave_route(), *canonical_host(sites), hosts, *redirect(layout),
                      {"handle": [drop_client_headers(), proxy()]}],
           "errors": error_routes(proxy)}
    ask = {**OWN, "listen": [f"unix/{layout.ask(generation)}|0600"], "protocols": ["h1"],
           "routes": [caddy_reload.state_route(), *canonical_host(sites), hosts,
                      {"handle": [drop_client_headers(), asked_proxy()]}],
           "errors": error_routes(asked_proxy)}
    pages = {f"page-{name}": {**OWN, "listen": [f"{layout.page_dial(name)}|0600"], "protocols": ["h1"],
                              "routes": [{"handle": [page(name)]}]} for name in (*STILL_PAGES, UNKNOWN_HOST)}
    return {"web": counted(web, options), "ask": ask, **pages, f"page-{Page.ASLEEP}": asleep_server(layout)}


def web_listeners(settings: Settings, generation: int) -> dict:
    """HTTP/3 keeps one address: its one socket serves both generations, and no packet finds the wrong one."""
    plain, secure = (caddy_reload.listen(port, generation) for port in (settings.http_port, settings.https_port))
    return {"listen": [plain, secure, f"udp/:{settings.https_port}"],
            "listen_protocols": [["h1"], ["h1", "h2"], ["h3"]]}


def counted(server: dict, options: ProxyOptions) -> dict:
    """*server* itself, with the line for :mod:`paas.adapters.caddy_traffic` at each of its requests."""
    if options.counted:
        server["logs"] = {"default_logger_name": caddy_traffic.LOGGER}
        server["routes"].insert(0, {"handle": [caddy_traffic.logged_host(HOST)]})
    return server


def asleep_server(layout: Layout, container: int = 0) -> dict:
    """*container*: the port there that the request goes to once the app runs; 0: that of its site."""
    return {**OWN, "listen": [f"{layout.page_dial(caddy_ports.asleep_page(container))}|0600"], "protocols": ["h1"],
            "routes": [{"handle": [woken(layout, container)]}], "errors": {"routes": [{"handle": [page(HELD)]}]}}


def port_servers(sites: list[dict], options: ProxyOptions, layout: Layout, taken: Collection[int],
                 generation: int) -> dict:
    """One for each further public port, and a page for apps that sleep for each port in containers."""
    all_sites = [one["site"] for one in sites]
    ports = {caddy_ports.SERVER.format(number): port_server(number, sites, options, layout, generation)
             for number in caddy_ports.wanted(all_sites) if number not in taken}
    return ports | {f"page-{caddy_ports.asleep_page(container)}": asleep_server(layout, container)
                    for container in caddy_ports.containers(all_sites)}


def port_server(number: int, sites: list[dict], options: ProxyOptions, layout: Layout, generation: int) -> dict:
    """As ``web``, for the apps that have this port: of one scheme, without redirects and HTTP/3."""
    mine = [one for one in sites if any(port.number == number for port in one["site"].ports)]
    [scheme] = {port.scheme for one in mine for port in one["site"].ports if port.number == number}
    secure = {"protocols": ["h1", "h2"], "tls_connection_policies": [{}]}
    routes = [caddy_reload.leave_route(), *canonical_host(mine, exact_hosts(sites)), port_map(number, mine, layout),
              {"handle": caddy_ports.dials(UPSTREAM)}, {"handle": [drop_client_headers(), port_proxy()]}]
    return counted({
        **OWN, "listen": [caddy_reload.listen(number, generation)],
        **(secure if scheme == "https" else {"protocols": ["h1"]}),
        "read_header_timeout": HEADER_TIMEOUT, "max_header_bytes": HEADER_BYTES,
        "routes": routes, "errors": error_routes(port_proxy)}, options)


# From a host to its app


def exact_hosts(sites: list[dict]) -> list[str]:
    return [host for one in sites for host in one["hosts"] if not host.startswith("*")]


def canonical_host(sites: list[dict], others: Sequence[str] = ()) -> list[dict]:
    """Put the name that the map knows into a variable: the host itself, but for two cases. *others* are exact hosts of
    other apps, which this server may not know.

    Capitals (RFC 9110, section 4.2.3: host names are case-insensitive; the map is not), and wildcards.
    """
    exact = exact_hosts(sites)
    wild = [host for one in sites for host in one["hosts"] if host.startswith("*")]
    capitals = [{"match": [{"host": [host]}], "handle": [set_host(host)]} for host in sorted(exact)]
    routes = [{"handle": [set_host("{http.request.host}")]}]
    if capitals:
        routes.append({"match": [{"header_regexp": {"Host": {"pattern": "[A-Z]"}}}],
                       "handle": [subroute(*capitals)]})
    return routes + [wildcard(host, others or exact) for host in sorted(wild)]


def wildcard(host: str, exact: list[str]) -> dict:
    """An exact host below a wildcard goes its own way."""
    below = sorted(one for one in exact if one.partition(".")[2] == host[2:])
    match = {"host": [host], **({"not": [{"host": below}]} if below else {})}
    return {"match": [match], "handle": [set_host(host)]}


def set_host(value: str) -> dict:
    return {"handler": "vars", HOST: value}


def hosts_map(sites: list[dict], options: ProxyOptions, layout: Layout) -> dict:
    """Host → twelve upstreams, and the file that says whether TLS is ready for it. Defaults: nobody's host."""
    mappings = []
    for one in sites:
        site: Site = one["site"]
        certified = certificate_names(site.certificate) if site.certificate else ()
        files = slot_files(site, layout)
        mappings += [{"input": host, "outputs": [*files, presence_file(host, site, certified, options, layout)]}
                     for host in one["hosts"]]
    return {"handle": [{
        "handler": "map", "source": f"{{http.vars.{HOST}}}",
        "destinations": [*(dial(slot) for slot in range(SLOTS)), f"{{{CERTIFICATE}}}"],
        "mappings": sorted(mappings, key=lambda mapping: mapping["input"]),
        "defaults": [*[layout.page_dial(UNKNOWN_HOST)] * SLOTS, NO_CERTIFICATE],
    }]}


def port_map(number: int, sites: list[dict], layout: Layout) -> dict:
    """As :func:`hosts_map`, for a further port: host → twelve upstreams of the site, and the port in the container."""
    mappings = []
    for one in sites:
        site: Site = one["site"]
        [container] = [port.container for port in site.ports if port.number == number]
        mappings += [{"input": host, "outputs": [*slot_files(site, layout), str(container or "")]}
                     for host in one["hosts"]]
    return {"handle": [{
        "handler": "map", "source": f"{{http.vars.{HOST}}}",
        "destinations": [*(dial(slot) for slot in range(SLOTS)), f"{{{caddy_ports.CONTAINER}}}"],
        "mappings": sorted(mappings, key=lambda mapping: mapping["input"]),
        "defaults": [*[layout.page_dial(UNKNOWN_HOST)] * SLOTS, ""],
    }]}


def slot_files(site: Site, layout: Layout) -> list[str]:
    return [f"{{file.{layout.upstreams}/{site.app_id:d}/{slot}}}" for slot in range(SLOTS)]


def dial(slot: int, upstream: str = UPSTREAM) -> str:
    return f"{{{upstream.format(slot)}}}"


# To the app


def proxy() -> dict:
    """To one of the slots, at random: a round-robin count would be one for all apps together.

    Passive health checks stay off for the same reason: Caddy keeps them by slot, not by app. A refused connection
    is tried again on another slot; a request that an app has seen never is. Answers are not buffered (Caddy streams
    ``text/event-stream`` and chunked answers), and a client that leaves ends its request in the app as well.
    """
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": dial(slot)} for slot in range(SLOTS)],
        "load_balancing": balance(TRY_SECONDS, "50ms"),
        "transport": {"protocol": "http", "dial_timeout": DIAL_TIMEOUT, "response_header_timeout": ANSWER_TIMEOUT,
                      "compression": False,
                      "keep_alive": {"max_idle_conns_per_host": 512, "idle_timeout": UPSTREAM_IDLE}},
        "headers": {"request": {"set": {
            "X-Real-Ip": ["{http.request.remote.host}"],
            "X-Forwarded-Port": ["{http.request.local.port}"],
            "X-Request-Id": ["{http.request.uuid}"]}}},
        "stream_close_delay": STREAM_CLOSE_DELAY,
    }


def port_proxy() -> dict:
    """As :func:`proxy`, to the same instances at the port in the container that this public port stands for."""
    handler = proxy()
    handler["upstreams"] = [{"dial": dial(slot, caddy_ports.UPSTREAM)} for slot in range(SLOTS)]
    return handler


def asked_proxy() -> dict:
    """As :func:`proxy`, for the internal listener: plain HTTP from the server itself, with the upstream's name."""
    handler = proxy()
    handler["headers"] = {
        "request": {"set": {
            "X-Real-Ip": ["127.0.0.1"], "X-Forwarded-For": ["127.0.0.1"], "X-Forwarded-Proto": ["http"],
            "X-Forwarded-Host": ["{http.request.hostport}"], "X-Request-Id": ["{http.request.uuid}"]}},
        "response": {"set": {UPSTREAM_HEADER: ["{http.reverse_proxy.upstream.hostport}"]}},
    }
    return handler


def woken(layout: Layout, container: int = 0) -> dict:
    """Ask the waker, which answers once the app runs and names an instance; then the request, untouched, goes there.

    As Caddy's ``forward_auth`` does. The waker sees no body, no cookie and no credentials of the client's. Whatever it
    answers but 2xx, 404 or nothing at all: 503 with Retry-After.
    """
    asked = {"X-Paas-Host": ["{http.request.host}"], "X-Paas-Uri": ["{http.request.orig_uri}"],
             "User-Agent": ["{http.request.header.User-Agent}"]}
    return {
        "handler": "reverse_proxy", "upstreams": [{"dial": f"unix/{layout.settings.waker_socket}"}],
        "rewrite": {"method": "GET", "uri": "/"},
        "headers": {"request": {"delete": ["*"], "set": asked}},
        "load_balancing": balance(TRY_SECONDS, "100ms"),
        "transport": {"protocol": "http", "dial_timeout": DIAL_TIMEOUT, "response_header_timeout": WAKE_TIMEOUT,
                      "compression": False},
        "handle_response": [
            {"match": {"status_code": [2]}, "routes": [{"handle": [
                {**subroute({"handle": woken_way(container)}), "errors": {"routes": failures()}}]}]},
            {"match": {"status_code": [404]}, "routes": [{"handle": [page(OTHER, "404")]}]},
            {"routes": [{"handle": [page(HELD)]}]}],
    }


def woken_way(container: int) -> list[dict]:
    """To the instance that the waker named; to its port *container*, if the request came by a further public port."""
    target = f"{{http.reverse_proxy.header.{TARGET_HEADER}}}"
    if not container:
        return [no_second_via(), woken_proxy(target)]
    moved = caddy_ports.moved(f"{target}|{container}", caddy_ports.UPSTREAM.format(""))
    return [moved, no_second_via(), woken_proxy(dial("", caddy_ports.UPSTREAM))]


def woken_proxy(target: str) -> dict:
    """As :func:`proxy`, to *target*, with the fields that the first hop has set."""
    handler = proxy()
    handler["upstreams"] = [{"dial": target}]
    kept = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via")
    handler["headers"] = {"request": {"set": {name: [f"{{http.request.header.{name}}}"] for name in kept}}}
    return handler


def no_second_via() -> dict:
    """The first hop says it (RFC 9110, section 7.6.3); two hops of one proxy are nobody's business."""
    return {"handler": "headers", "response": {"deferred": True, "delete": ["Via"]}}


def balance(seconds: int, interval: str) -> dict:
    """By default Caddy repeats a failed GET, to an app that may have seen it. Here only to the platform's own pages: a
    server of theirs that a reload ends throws away what it has not read (:mod:`paas.adapters.caddy_reload`).
    """
    pages = [{"method": ["GET", "HEAD"], "vars_regexp": {dial(0): {"pattern": "^unix/"}}}]
    return {"selection_policy": {"policy": "random"}, "try_duration": f"{seconds}s", "try_interval": interval,
            "retry_match": pages}


def drop_client_headers() -> dict:
    return {"handler": "headers", "request": {"delete": list(CLIENT_HEADERS)}}


def redirect(layout: Layout) -> list[dict]:
    """Plain HTTP: no offer of HTTP/3 (nobody knows yet that TLS is ready); to HTTPS where it is (RFC 9110, 308).

    Nested, because the matchers of one set have no order, and only hosts with HTTPS shall cost a look at the disk.
    """
    port = "" if layout.settings.https_port == 443 else f":{layout.settings.https_port}"
    ready = {"file": {"root": str(layout.root), "try_files": [f"{{{CERTIFICATE}}}"]}}
    to_https = {"match": [ready], "handle": [{
        "handler": "static_response", "status_code": 308,
        "headers": {"Location": [f"https://{{http.request.host}}{port}{{http.request.uri}}"]}}]}
    wanted = {"match": [{"not": [{"vars": {f"{{{CERTIFICATE}}}": [NO_CERTIFICATE]}}]}], "handle": [subroute(to_https)]}
    return [{"match": [{"protocol": "http"}],
             "handle": [{"handler": "headers", "response": {"delete": ["Alt-Svc"]}}, subroute(wanted)]}]


def subroute(*routes: dict) -> dict:
    return {"handler": "subroute", "routes": list(routes)}


# The platform's own answers


def page(name: str, status: str = "") -> dict:
    text = PAGES[name]
    headers = {"Content-Type": ["text/html; charset=utf-8"], "Cache-Control": ["no-store"]}
    if text.retry_after:
        headers["Retry-After"] = [str(text.retry_after)]
    return {"handler": "static_response", "status_code": status or str(text.status), "headers": headers,
            "body": page_html(name).replace("{", "\\{").replace("}", "\\}")}


def error_routes(make_proxy) -> dict:
    """A parked app (its file is empty): hold the request on; else say what is wrong.

    A request without a host (HTTP/1.0, an empty Host) is nobody's too; what it is proxied to, Caddy finds empty.
    """
    nameless = {"match": [{"vars": {"{http.request.host}": [""]}}], "terminal": True, "handle": [page(UNKNOWN_HOST)]}
    hold = make_proxy()
    hold["load_balancing"] = balance(HOLD_SECONDS, "100ms")
    parked = {"match": [{"vars": {dial(0): [""]}}], "terminal": True,
              "handle": [{"handler": "subroute", "routes": [{"handle": [hold]}],
                          "errors": {"routes": [{"handle": [page(HELD)]}]}}]}
    return {"routes": [nameless, parked, *failures()]}


def failures() -> list[dict]:
    """No instance took the connection (none runs: a reboot, a crash): 503, come again; one broke it off: 502."""
    unreached = {"match": [{"vars_regexp": {"{http.error.message}": {"pattern": "^dial "}}}], "terminal": True,
                 "handle": [page(UNREACHED)]}
    return [unreached, error_page("502", FAILING), error_page("503", FAILING), error_page("504", SLOW),
            {"handle": [page(OTHER, "{http.error.status_code}")]}]


def error_page(status: str, name: str) -> dict:
    return {"match": [{"vars": {"{http.error.status_code}": [status]}}], "terminal": True, "handle": [page(name)]}
