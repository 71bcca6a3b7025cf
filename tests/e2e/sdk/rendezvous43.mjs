// One device that signs in, or signs another one in, by QR code with matrix-js-sdk 43 (MSC4108).
import { initAsync, QrCodeData } from "@matrix-org/matrix-sdk-crypto-wasm";
import { createClient } from "matrix-js-sdk";
import {
    linkNewDeviceByGeneratingQR,
    MSC4108RendezvousSession,
    MSC4108SecureChannel,
    MSC4108SignInWithQR,
    signInByGeneratingQR,
} from "matrix-js-sdk/lib/rendezvous/index.js";

const clientId = "e2e";
const failures = [];
const onFailure = (reason) => failures.push(reason);
let baseUrl, client, flow;

/** A device that is signed in already, or, without an account, one that is to be. */
export async function open({ homeserver, account }) {
    baseUrl = homeserver;
    await initAsync();
    if (!account) return;
    client = createClient({ baseUrl, ...account });
    await client.initRustCrypto({ useIndexedDB: false });
    // The identity of the user, which the new device is to learn.
    await client.getCrypto().bootstrapCrossSigning({ authUploadDeviceSigningKeys: (upload) => upload(null) });
}

export async function showCode() {
    const { signal } = new AbortController();
    flow = client
        ? await linkNewDeviceByGeneratingQR(client, onFailure, signal)
        : await signInByGeneratingQR(createClient({ baseUrl }), onFailure, signal);
    return { code: Array.from(flow.code), url: QrCodeData.fromBytes(flow.code).rendezvousUrl };
}

export async function scanCode({ code }) {
    const scanned = QrCodeData.fromBytes(new Uint8Array(code));
    const session = new MSC4108RendezvousSession({ url: scanned.rendezvousUrl, onFailure });
    const channel = new MSC4108SecureChannel(session, scanned.publicKey, onFailure);
    flow = new MSC4108SignInWithQR(channel, true, client, onFailure);
    return { serverName: scanned.serverName };
}

/** Both make a secure channel; the people in front of them compare the check code. */
export async function negotiate() {
    const { serverName } = await flow.negotiateProtocols();
    return { checkCode: flow.checkCode, serverName };
}

/** The new device asks to be let in; the other one learns where its user agrees to that. */
export async function askForGrant({ deviceId }) {
    if (client) return flow.deviceAuthorizationGrant();
    const metadata = await createClient({ baseUrl }).getAuthMetadata();
    return flow.deviceAuthorizationGrant({ metadata, clientId, deviceId });
}

/** The new device gets its access token and asks who it is; then the user's secrets cross over. */
export async function finish() {
    if (client) {
        await flow.shareSecrets();
        return { secrets: await client.getCrypto().exportSecretsBundle() };
    }
    const { access_token: accessToken } = await flow.completeLoginOnNewDevice({ clientId });
    const whoami = await createClient({ baseUrl, accessToken }).whoami();
    const { secrets } = await flow.shareSecrets();
    client = createClient({ baseUrl, accessToken, userId: whoami.user_id, deviceId: whoami.device_id });
    await client.initRustCrypto({ useIndexedDB: false });
    await client.getCrypto().importSecretsBundle(secrets);
    await flow.close();
    return { whoami, secrets: await client.getCrypto().exportSecretsBundle() };
}

export async function cancel({ reason }) {
    await flow.cancel(reason);
}

/** Waits for the other device, and adds what the SDK reports to the application. */
export async function waitForMessage() {
    const message = await flow.channel.secureReceive();
    return { message, failures, cancelled: flow.channel.cancelled };
}

/** The same where there is no secure channel yet, nor will be. */
export async function connectInVain() {
    const error = await flow.negotiateProtocols().catch((error) => error.message);
    return { error, failures, cancelled: flow.channel.cancelled };
}
