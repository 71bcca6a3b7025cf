// A device with matrix-js-sdk. NODE_EXTRA_CA_CERTS names the CA.
import { ClientEvent, createClient, SyncState } from "matrix-js-sdk";

const silent = () => {};
const logger = { trace: silent, debug: silent, info: silent, warn: silent, error: console.error };
logger.getChild = () => logger;

/** Logs in and syncs for the first time, with end-to-end encryption or without. */
export async function device(baseUrl, user, password, { encrypts = false } = {}) {
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
    if (encrypts) await client.initRustCrypto({ useIndexedDB: false });
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
