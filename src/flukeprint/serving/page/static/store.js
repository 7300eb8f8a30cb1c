// What waits on this device, in IndexedDB: an item is {id, owner, kept, name, parts, refused}.
const DATABASE = "flukeprint";
const STORE = "waiting";
const FLAG = "flukeprint-waiting"; // in localStorage, so that a page with nothing to send need not look

const done = (request) => new Promise((good, bad) => {
  request.onsuccess = () => good(request.result);
  request.onerror = () => bad(request.error);
});

function opened() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
  return done(request);
}

// What `act` makes of the store, once it is on the disk.
async function inStore(mode, act) {
  const database = await opened();
  try {
    const transaction = database.transaction(STORE, mode);
    const written = new Promise((good, bad) => {
      transaction.oncomplete = good;
      transaction.onerror = transaction.onabort = () => bad(transaction.error);
    });
    const found = await done(act(transaction.objectStore(STORE)));
    await written;
    return found;
  } finally {
    database.close();
  }
}

export const all = () => inStore("readonly", (store) => store.getAll());

export async function put(item) {
  await inStore("readwrite", (store) => store.put(item));
  localStorage.setItem(FLAG, "yes");
}

export async function drop(id) {
  await inStore("readwrite", (store) => store.delete(id));
  if ((await all()).length === 0) localStorage.removeItem(FLAG);
}

// How many wait here, of anybody.
export async function count() {
  try {
    return localStorage.getItem(FLAG) ? (await all()).length : 0;
  } catch {
    return 0;
  }
}

// Deletes all, of everybody.
export async function forgetAll() {
  await inStore("readwrite", (store) => store.clear());
  localStorage.removeItem(FLAG);
}
