// With matrix-js-sdk: two users, one of them with two devices, talk in an encrypted room.
// Arguments: base URL, password, two users. Prints one line of JSON. NODE_EXTRA_CA_CERTS names the CA.
import { MatrixEventEvent, RoomEvent } from "matrix-js-sdk";
import { device } from "./device.mjs";

const [baseUrl, password, ...users] = process.argv.slice(2);
const encrypting = (user) => device(baseUrl, user, password, { encrypts: true });

// The texts that a device could decrypt, in the order in which they came, until there are so many.
function texts(client, count) {
    const found = [];
    return new Promise((resolve) => {
        const look = (event) => {
            if (event.getSender() === client.getUserId() || event.isBeingDecrypted()) return;
            if (event.isDecryptionFailure() || event.getType() !== "m.room.message") return;
            if (found.push({ wire: event.getWireType(), body: event.getContent().body }) === count) resolve(found);
        };
        client.on(RoomEvent.Timeline, look);
        client.on(MatrixEventEvent.Decrypted, look);
    });
}

async function until(condition) {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

const [alice, bob, bobToo] = [await encrypting(users[0]), await encrypting(users[1]), await encrypting(users[1])];
const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
const created = { invite: [bob.getUserId()], preset: "trusted_private_chat", initial_state: [encryption] };
const { room_id: roomId } = await alice.createRoom(created);
await bob.joinRoom(roomId);
const members = (client) => client.getRoom(roomId)?.getJoinedMembers().length;
await until(() => [alice, bob, bobToo].every((client) => members(client) === 2));

const [atBob, atBobToo, atAlice] = [texts(bob, 2), texts(bobToo, 2), texts(alice, 2)];
const sentAs = [];
for (const [client, body] of [
    [alice, "one"],
    [alice, "two"],
    [bob, "three"],
    [bobToo, "four"],
]) {
    const { event_id: eventId } = await client.sendTextMessage(roomId, body);
    sentAs.push((await alice.fetchRoomEvent(roomId, eventId)).type);
}
const received = await Promise.all([atBob, atBobToo, atAlice]);
console.log(
    JSON.stringify({
        sentAs,
        received: received.map((messages) => messages.map(({ body }) => body)),
        receivedAs: received.flat().map(({ wire }) => wire),
    }),
);
process.exit(0); // the long polls of all devices are still open
