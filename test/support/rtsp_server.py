# An RTSP server for tests: GStreamer's. Its settings are a JSON object in the first argument (see
# rtsp_server.ts). It prints the port that it listens to, and serves until it is ended.
import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer

settings = json.loads(sys.argv[1])
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")

factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(settings["pipeline"])
transport = GstRtsp.RTSPLowerTrans.UDP if settings.get("udp") else GstRtsp.RTSPLowerTrans.TCP
factory.set_protocols(transport)
server.get_mount_points().add_factory("/live", factory)

login, tls = settings.get("login"), settings.get("tls")
if login or tls:
    auth = GstRtspServer.RTSPAuth()
    server.set_auth(auth)
if tls:
    auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(tls["certificate"], tls["key"]))
if login:
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if login["scheme"] == "Digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(login["user"], login["password"], token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(login["user"], login["password"]), token)
    for permission in ("media.factory.access", "media.factory.construct"):
        factory.add_role_from_structure(Gst.Structure.new_from_string(
            "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"))
        break

if server.attach(None) == 0:
    sys.exit("the server cannot listen")
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
