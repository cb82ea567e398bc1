"""A real OAuth2 and JWT server on loopback, for the tests.

django-oauth-toolkit, Django REST framework and drf-jwt do the answering; the views here only
give them something to protect, in the shapes that Certn and ScanTrust document. Prints
"ready PORT" once it listens.

    .venv/bin/python tests/oauth/server.py --port 0 --token-life 36000

The client is oauth-client / oauth-secret, the user user@example.org / password.
`POST /_control/...` steers it: revoke, expire, throttle {"on": true, "rate": "1/min"}, set
{"login_rate": "1/min", "login_status": 200, "retry_after": false}; `GET /_control/stats` counts.
"""

import argparse
import collections
import datetime
import json
import logging
import os
import sys
import tempfile
import threading

import django
from django.conf import settings

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--port", type=int, default=0)
arguments.add_argument("--token-life", type=int, default=36000, help="seconds, of both kinds")
arguments.add_argument("--polls", type=int, default=2, help="ANALYZING so often, then COMPLETE")
arguments.add_argument("--database", help="SQLite file to create (default: a temporary one)")
arguments.add_argument("--until-stdin-closes", action="store_true", help="end with the parent")
options = arguments.parse_args()

folder = tempfile.TemporaryDirectory()
LIFE = datetime.timedelta(seconds=options.token_life)

settings.configure(
    SECRET_KEY="a key of the tests, long enough for HS256 and secret to nobody",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # APPEND_SLASH
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "oauth2_provider",
        "rest_framework",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": options.database or os.path.join(folder.name, "oauth.db"),
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY",
            },
        }
    },
    # Tables straight from the models: the history of migrations takes seconds.
    MIGRATION_MODULES={"auth": None, "contenttypes": None, "oauth2_provider": None},
    AUTHENTICATION_BACKENDS=[f"{__name__}.EmailBackend"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # quick
    OAUTH2_PROVIDER={"ACCESS_TOKEN_EXPIRE_SECONDS": options.token_life},
    JWT_AUTH={"JWT_AUTH_HEADER_PREFIX": "JWT", "JWT_EXPIRATION_DELTA": LIFE},
    REST_FRAMEWORK={"EXCEPTION_HANDLER": f"{__name__}.with_code"},
    LOGGING_CONFIG=None,
)
logging.getLogger("django.request").setLevel(logging.ERROR)  # refusals are what tests ask for
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402  (Django must be set up first)
from django.contrib.auth.backends import ModelBackend  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from oauth2_provider.contrib.rest_framework import OAuth2Authentication  # noqa: E402
from oauth2_provider.models import AccessToken, Application  # noqa: E402
from oauth2_provider.views import TokenView  # noqa: E402
from rest_framework.exceptions import Throttled, ValidationError  # noqa: E402
from rest_framework.pagination import PageNumberPagination  # noqa: E402
from rest_framework.permissions import BasePermission, IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.serializers import JSONField, Serializer  # noqa: E402
from rest_framework.throttling import SimpleRateThrottle  # noqa: E402
from rest_framework.views import APIView, exception_handler  # noqa: E402
from rest_framework_jwt.authentication import JSONWebTokenAuthentication  # noqa: E402
from rest_framework_jwt.serializers import JSONWebTokenSerializer  # noqa: E402
from rest_framework_jwt.views import ObtainJSONWebTokenView  # noqa: E402

User = get_user_model()
lock = threading.Lock()
requests = collections.Counter()
polls = collections.Counter()
reports = collections.Counter()
throttle = {"on": False, "rate": "1/min"}
settable = {"login_rate": None, "login_status": 201, "retry_after": True}


class EmailBackend(ModelBackend):
    """Users log in with their e-mail address, which is their name here."""

    def authenticate(self, request, username=None, password=None, email=None):
        return super().authenticate(request, username=email or username, password=password)


class EmailLogin(JSONWebTokenSerializer):
    username_field = "email"


class HasToken(BasePermission):
    """A token of the client-credentials grant belongs to no user."""

    def has_permission(self, request, view):
        return request.auth is not None


class SwitchableThrottle(SimpleRateThrottle):
    """DRF's own throttle, at the rate that the test asked for."""

    def get_rate(self):
        return throttle["rate"] if throttle["on"] else None

    def get_cache_key(self, request, view):
        return "everybody"


class LoginThrottle(SimpleRateThrottle):
    def get_rate(self):
        return settable["login_rate"]

    def get_cache_key(self, request, view):
        return "logins"


def with_code(refusal, context):
    """ScanTrust says the code too, and whether it says Retry-After is not known."""
    response = exception_handler(refusal, context)
    if isinstance(refusal, Throttled):
        response.data["code"] = refusal.default_code
        if not settable["retry_after"]:
            del response["Retry-After"]
    return response


class Protected(APIView):
    authentication_classes = [OAuth2Authentication]
    permission_classes = [HasToken]
    throttle_classes = [SwitchableThrottle]


class Pages(PageNumberPagination):
    page_size = 2


class Users(Protected):
    def get(self, request):
        pages = Pages()
        page = pages.paginate_queryset(User.objects.order_by("pk"), request)
        users = [{"id": user.pk, "email": user.username} for user in page]
        return pages.get_paginated_response(users)


class Order(Serializer):
    information = JSONField()


class Applications(Protected):
    def post(self, request, flow):
        Order(data=request.data).is_valid(raise_exception=True)
        with lock:
            requests["orders"] += 1
            number = requests["orders"]
        applicant = {"id": f"applicant-{number}", "report_status": "ANALYZING"}
        if flow == "invite":
            applicant = {"id": f"application-{number}", "applicant": applicant}
        return Response(applicant, status=201)


class Applicant(Protected):
    def get(self, request, id):
        with lock:
            polls[id] += 1
            complete = polls[id] > options.polls
        return Response({"id": id, "report_status": "COMPLETE" if complete else "ANALYZING"})


class Report(Protected):
    """Not there yet when it is first asked for."""

    def get(self, request, id):
        with lock:
            reports[id] += 1
            ready = polls[id] > options.polls and reports[id] > 1
        if not ready:
            words = "Cannot generate report for incomplete hr applicant."
            raise ValidationError({"non_field_errors": [words]})
        return HttpResponse(b"%PDF-1.7 of " + id.encode(), content_type="application/pdf")


class Login(ObtainJSONWebTokenView):
    serializer_class = EmailLogin
    throttle_classes = [LoginThrottle]

    def post(self, request, *args, **kwargs):
        response = super().post(request, *args, **kwargs)
        if response.status_code == 201:
            response.status_code = settable["login_status"]
        return response


class Me(APIView):
    authentication_classes = [JSONWebTokenAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = [SwitchableThrottle]

    def get(self, request):
        return Response({"email": request.user.username})


def revoke(request):
    return JsonResponse({"revoked": AccessToken.objects.all().delete()[0]})


def expire(request):
    past = timezone.now() - datetime.timedelta(hours=1)
    return JsonResponse({"expired": AccessToken.objects.update(expires=past)})


def set_throttle(request):
    throttle.update(json.loads(request.body))
    cache.clear()
    return JsonResponse(throttle)


def set_more(request):
    settable.update(json.loads(request.body))
    cache.clear()
    return JsonResponse(settable)


def stats(request):
    with lock:
        return JsonResponse(
            {
                "requests": {key: n for key, n in requests.items() if key.startswith("/")},
                "orders": requests["orders"],
                "polls": dict(polls),
                "reports": dict(reports),
                "tokens": AccessToken.objects.count(),
            }
        )


urlpatterns = [
    path("token/", TokenView.as_view()),
    path("api/v1/users/", Users.as_view()),
    path("api/v1/hr/applications/<str:flow>/", Applications.as_view()),
    path("api/v1/hr/applicants/<str:id>/", Applicant.as_view()),
    path("api/v2/reports/<str:id>/pdf/", Report.as_view()),
    path("api/v2/auth/jwt/", Login.as_view()),
    path("api/v2/me/", Me.as_view()),
    path("_control/revoke", revoke),
    path("_control/expire", expire),
    path("_control/throttle", set_throttle),
    path("_control/set", set_more),
    path("_control/stats", stats),
]


def prepare():
    call_command("migrate", run_syncdb=True, verbosity=0)
    for n in range(5):
        name = "user@example.org" if n == 0 else f"user{n}@example.org"
        User.objects.create_user(name, name, "password")
    Application.objects.create(
        name="tests",
        client_id="oauth-client",
        client_secret="oauth-secret",
        hash_client_secret=False,  # hashing takes most of a second, each time
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )


def counting(app):
    """Counts the requests by path."""

    def counted(environ, start_response):
        with lock:
            requests[environ["PATH_INFO"]] += 1
        return app(environ, start_response)

    return counted


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def end_with_parent():
    sys.stdin.buffer.read()
    folder.cleanup()
    os._exit(0)


def main():
    prepare()
    server = ThreadedWSGIServer(("127.0.0.1", options.port), Quiet)
    server.daemon_threads = True
    server.set_app(counting(get_wsgi_application()))
    if options.until_stdin_closes:
        threading.Thread(target=end_with_parent, daemon=True).start()
    print("ready", server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
