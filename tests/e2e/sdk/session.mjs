// With matrix-js-sdk: logs two devices of one user in, syncs both, sends from one, reads on the other.
// Arguments: base URL, user, password. Prints one line of JSON. NODE_EXTRA_CA_CERTS names the CA.
import { RoomEvent } from "matrix-js-sdk";
import { device } from "./device.mjs";

const [baseUrl, user, password] = process.argv.slice(2);
const [sender, reader] = [await device(baseUrl, user, password), await device(baseUrl, user, password)];
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
