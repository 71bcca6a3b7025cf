// Logs in with matrix-js-sdk, syncs, sends a message to itself and reads it back from the sync.
// Arguments: base URL, user, password. Prints one line of JSON. NODE_EXTRA_CA_CERTS names the CA.
import { ClientEvent, createClient, RoomEvent, SyncState } from "matrix-js-sdk";

const [baseUrl, user, password] = process.argv.slice(2);
const logger = { trace() {}, debug() {}, info() {}, warn() {}, error: console.error, getChild: () => logger };

const login = await createClient({ baseUrl, logger }).loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user },
    password,
});
const client = createClient({
    baseUrl,
    logger,
    userId: login.user_id,
    deviceId: login.device_id,
    accessToken: login.access_token,
});

const prepared = new Promise((resolve, reject) => {
    client.on(ClientEvent.Sync, (state, _previous, data) => {
        if (state === SyncState.Prepared) resolve();
        if (state === SyncState.Error) reject(data.error);
    });
});
await client.startClient();
await prepared;

const { room_id: roomId } = await client.createRoom({ name: "from js-sdk" });
const received = new Promise((resolve) => {
    client.on(RoomEvent.Timeline, (event) => {
        // A local echo has no transaction id of its own in `unsigned`: only the server's copy counts.
        if (event.getType() === "m.room.message" && event.getUnsigned().transaction_id) resolve(event);
    });
});
const { event_id: eventId } = await client.sendTextMessage(roomId, "hello from js-sdk");
const event = await received;
client.stopClient();
console.log(
    JSON.stringify({
        userId: login.user_id,
        sent: eventId,
        received: event.getId(),
        body: event.getContent().body,
    }),
);
process.exit(0);
