// One device that signs in, or signs another in, by QR code with matrix-js-sdk 34.9 (MSC3886, 3903, 3906).
import Olm from "@matrix-org/olm";
import { Buffer } from "buffer";
import { createClient } from "matrix-js-sdk-34";
import {
    MSC3886SimpleHttpRendezvousTransport,
    MSC3903ECDHv2RendezvousChannel,
    MSC3906Rendezvous,
    RendezvousIntent,
} from "matrix-js-sdk-34/lib/rendezvous/index.js";
import { decodeBase64 } from "matrix-js-sdk-34/lib/base64.js";

const failures = [];
const onFailure = (reason) => failures.push(reason);
let client, transport, channel, flow;

/** A device that is signed in already, or, without an account, one that is to be. */
export async function open({ homeserver, account }) {
    Object.assign(globalThis, { Buffer, Olm }); // as Element Web provides them
    globalThis.OLM_OPTIONS = undefined; // Olm assigns it undeclared, which modules may not
    await Olm.init({ locateFile: () => "/olm.wasm" });
    client = createClient({ baseUrl: homeserver, ...account });
    transport = new MSC3886SimpleHttpRendezvousTransport({ onFailure, client });
}

export async function showCode() {
    channel = new MSC3903ECDHv2RendezvousChannel(transport, undefined, onFailure);
    const code = await channel.generateCode(RendezvousIntent.LOGIN_ON_NEW_DEVICE);
    return { code, url: code.rendezvous.transport.uri };
}

/** The SDK only has the part of the device that shows the code: this one is told the address by hand. */
export async function scanCode({ code }) {
    transport.uri = code.rendezvous.transport.uri;
    channel = new MSC3903ECDHv2RendezvousChannel(transport, decodeBase64(code.rendezvous.key), onFailure);
}

/** Both make a secure channel; the people in front of them compare the check code. */
export async function connect() {
    return channel.connect();
}

export async function send({ payload }) {
    await channel.send(payload);
}

export async function receive() {
    return channel.receive();
}

/** The device that is signed in offers to sign another one in. */
export async function showCodeToSignIn() {
    channel = new MSC3903ECDHv2RendezvousChannel(transport, undefined, onFailure);
    flow = new MSC3906Rendezvous(channel, client, onFailure);
    await flow.generateCode();
    const code = JSON.parse(flow.code);
    return { code, url: code.rendezvous.transport.uri };
}

/** Connects and agrees with the new device on how it signs in; returns the check code. */
export async function offer() {
    return flow.startAfterShowingCode();
}

/** The part of the new device in that. */
export async function choose() {
    const checkCode = await channel.connect();
    const { protocols } = await channel.receive();
    await channel.send({ type: "m.login.progress", protocol: protocols[0] });
    return checkCode;
}

/** Hands a token to the new device, and returns the id that it reports. */
export async function approve() {
    const { login_token: token } = await client.requestLoginToken();
    return flow.approveLoginOnExistingDevice(token);
}

export async function signIn() {
    const { login_token: token, homeserver } = await channel.receive();
    const login = await createClient({ baseUrl: homeserver }).login("m.login.token", { token });
    await channel.send({ type: "m.login.finish", outcome: "success", device_id: login.device_id });
    return login;
}

export async function cancel({ reason }) {
    await channel.cancel(reason);
}

/** Waits for the other device, and adds what the SDK reports to the application. */
export async function waitForMessage() {
    const message = await transport.receive();
    return { message, failures, ready: transport.ready };
}
