"""The endpoints of Synapse's workers as an administrator copies them from its manual into nginx.

The patterns are those that the manual of Synapse 1.163 lists, in its order, without the admin API; what each of them
goes to is the choice of a deployment with ten workers.
"""

#: Upstream by upstream, the patterns that lead there.
PATTERNS = (
    (
        "sync",
        (
            r"^/_matrix/client/(r0|v3)/sync$",
            r"^/_matrix/client/(api/v1|r0|v3)/events$",
        ),
    ),
    (
        "initial",
        (
            r"^/_matrix/client/(api/v1|r0|v3)/initialSync$",
            r"^/_matrix/client/(api/v1|r0|v3)/rooms/[^/]+/initialSync$",
        ),
    ),
    (
        "federation",
        (
            r"^/_matrix/federation/v1/version$",
            r"^/_matrix/federation/v1/event/",
            r"^/_matrix/federation/v1/state/",
            r"^/_matrix/federation/v1/state_ids/",
            r"^/_matrix/federation/v1/backfill/",
            r"^/_matrix/federation/v1/get_missing_events/",
            r"^/_matrix/federation/v1/publicRooms",
            r"^/_matrix/federation/v1/query/",
            r"^/_matrix/federation/v1/make_join/",
            r"^/_matrix/federation/v1/make_leave/",
            r"^/_matrix/federation/(v1|v2)/send_join/",
            r"^/_matrix/federation/(v1|v2)/send_leave/",
            r"^/_matrix/federation/v1/make_knock/",
            r"^/_matrix/federation/v1/send_knock/",
            r"^/_matrix/federation/(v1|v2)/invite/",
            r"^/_matrix/federation/v1/event_auth/",
            r"^/_matrix/federation/v1/timestamp_to_event/",
            r"^/_matrix/federation/v1/exchange_third_party_invite/",
            r"^/_matrix/federation/v1/user/devices/",
            r"^/_matrix/key/v2/query",
            r"^/_matrix/federation/v1/hierarchy/",
        ),
    ),
    (
        "inbound",
        (
            r"^/_matrix/federation/v1/send/",
        ),
    ),
    (
        "client",
        (
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/createRoom$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/publicRooms$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/joined_members$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/context/.*$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/members$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/state$",
            r"^/_matrix/client/v1/rooms/.*/hierarchy$",
            r"^/_matrix/client/(v1|unstable)/rooms/.*/relations/",
            r"^/_matrix/client/v1/rooms/.*/threads$",
            r"^/_matrix/client/unstable/im.nheko.summary/summary/.*$",
            r"^/_matrix/client/v1/room_summary/.*$",
            r"^/_matrix/client/(r0|v3|unstable)/account/3pid$",
            r"^/_matrix/client/(r0|v3|unstable)/account/whoami$",
            r"^/_matrix/client/(r0|v3|unstable)/account/deactivate$",
            r"^/_matrix/client/(r0|v3)/delete_devices$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/devices(/|$)",
            r"^/_matrix/client/versions$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/voip/turnServer$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/event/",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/joined_rooms$",
            r"^/_matrix/client/v1/rooms/.*/timestamp_to_event$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable/.*)/rooms/.*/aliases",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/search$",
            r"^/_matrix/client/(r0|v3|unstable)/user/.*/filter(/|$)",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/directory/room/.*$",
            r"^/_matrix/client/(r0|v3|unstable)/capabilities$",
            r"^/_matrix/client/(r0|v3|unstable)/notifications$",
            r"^/_matrix/client/(r0|v3|unstable)/keys/query$",
            r"^/_matrix/client/(r0|v3|unstable)/keys/changes$",
            r"^/_matrix/client/(r0|v3|unstable)/keys/claim$",
            r"^/_matrix/client/(r0|v3|unstable)/room_keys/",
            r"^/_matrix/client/(r0|v3|unstable)/keys/upload",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/keys/device_signing/upload$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/keys/signatures/upload$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/login$",
            r"^/_matrix/client/(r0|v3|unstable)/register$",
            r"^/_matrix/client/(r0|v3|unstable)/register/available$",
            r"^/_matrix/client/v1/register/m.login.registration_token/validity$",
            r"^/_matrix/client/(r0|v3|unstable)/password_policy$",
        ),
    ),
    (
        "events",
        (
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/redact",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/send",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/state/",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/(join|invite|leave|ban|unban|kick)$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/join/",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/knock/",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/profile/",
        ),
    ),
    (
        "client",
        (
            r"^/_matrix/client/(r0|v3|unstable)/user_directory/search$",
        ),
    ),
    (
        "events",
        (
            r"^/_matrix/client/unstable/org.matrix.msc4140/delayed_events(/[^/]+(/restart)?)?$",
        ),
    ),
    (
        "room",
        (
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/messages$",
        ),
    ),
    (
        "main",
        (
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/login/sso/redirect",
            r"^/_synapse/client/pick_idp$",
            r"^/_synapse/client/pick_username",
            r"^/_synapse/client/new_user_consent$",
            r"^/_synapse/client/sso_register$",
            r"^/_synapse/client/oidc/callback$",
            r"^/_synapse/client/saml2/authn_response$",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/login/cas/ticket$",
        ),
    ),
    (
        "writer",
        (
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/rooms/.*/typing",
            r"^/_matrix/client/(r0|v3|unstable)/sendToDevice/",
            r"^/_matrix/client/(r0|v3|unstable)/.*/tags",
            r"^/_matrix/client/(r0|v3|unstable)/.*/account_data",
            r"^/_matrix/client/(r0|v3|unstable)/rooms/.*/receipt",
            r"^/_matrix/client/(r0|v3|unstable)/rooms/.*/read_markers",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/presence/",
            r"^/_matrix/client/(api/v1|r0|v3|unstable)/pushrules/",
        ),
    ),
    (
        "media",
        (
            r"^/_matrix/media/",
            r"^/_matrix/client/v1/media/",
            r"^/_matrix/federation/v1/media/",
        ),
    ),
)


def locations():
    """One `location` for each pattern. nginx tries them one by one, and takes the first that fits."""
    blocks = []
    for upstream, patterns in PATTERNS:
        # Both are told apart by the query, which a location does not see.
        target = "$sync_or_initial" if upstream in ("sync", "initial") else upstream
        blocks += [f"        location ~ {pattern} {{ proxy_pass http://{target}; }}" for pattern in patterns]
    return "\n".join(dict.fromkeys(blocks))
