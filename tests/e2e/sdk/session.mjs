// With matrix-js-sdk: logs two devices of one user in, syncs both, sends from one, reads on the other.
// Arguments: base URL, user, password. Prints one line of JSON. NODE_EXTRA_CA_CERTS names the CA.
import { ClientEvent, createClient, RoomEvent, SyncState } from "matrix-js-sdk";

const [baseUrl, user, password] = process.argv.slice(2);
const silent = () => {};
const logger = { trace: silent, debug: silent, info: silent, warn: silent, error: console.error };
logger.getChild = () => logger;

async function device() {
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
    return client;
}

const [sender, reader] = [await device(), await device()];
const received = new Promise((resolve) => {
    reader.on(RoomEvent.Timeline, (event) => {
        if (event.getType() === "m.room.message") resolve(event);
    });
});
const { room_id: roomId } = await sender.createRoom({ name: "from js-sdk" });
const { event_id: eventId } = await sender.sendTextMessage(roomId, "hello from js-sdk");
const event = await received;
const summary = {
    userId: sender.getUserId(),
    sent: eventId,
    received: event.getId(),
    body: event.getContent().body,
};
console.log(JSON.stringify(summary));
process.exit(0); // the long polls of both devices are still open
