// Holds this version of the page for use without a network.  The server writes before this
// `HELD`: {version, files, documents, instead}; a new version is another script, so that the
// browser fetches it.  Nothing is held but what is named there, and that the same for everybody:
// no answer of the API, no photograph, no page of somebody who has signed in.
const PREFIX = "flukeprint-";
const CACHE = `${PREFIX}${HELD.version}`;
const SETTINGS = "/field/language"; // under which the language of the person lies
const PATIENCE_MS = 10_000; // for a page, until the held one is shown

self.addEventListener("install", (event) => event.waitUntil(hold()));
self.addEventListener("activate", (event) => event.waitUntil(clean()));

async function hold() {
  const cache = await caches.open(CACHE);
  const asked = [
    ...HELD.files.map((address) => new Request(address, { credentials: "omit" })),
    ...HELD.documents.map((address) => new Request(address, { credentials: "omit", cache: "no-store" })),
  ];
  await cache.addAll(asked);
  for (const name of await caches.keys()) {
    const known = name.startsWith(PREFIX) && name !== CACHE && (await (await caches.open(name)).match(SETTINGS));
    if (known) await cache.put(SETTINGS, known);
  }
  await self.skipWaiting();
}

async function clean() {
  for (const name of await caches.keys()) {
    if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

self.addEventListener("message", (event) => {
  const { language } = event.data || {};
  if (!/^[a-z]{2}$/.test(language || "")) return;
  event.waitUntil(caches.open(CACHE).then((cache) => cache.put(SETTINGS, new Response(language))));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== self.location.origin) return;
  if (request.mode === "navigate") event.respondWith(page(request, address));
  else if (HELD.files.includes(address.pathname)) event.respondWith(file(request, address));
});

async function page(request, address) {
  let late;
  const patience = new Promise((_, fail) => { late = setTimeout(fail, PATIENCE_MS); });
  try {
    return await Promise.race([fetch(request), patience]);
  } catch {
    return (await heldPage(address)) || fetch(request);
  } finally {
    clearTimeout(late);
  }
}

async function heldPage(address) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(SETTINGS);
  const wanted = [address.searchParams.get("lang"), kept && (await kept.text()), ...self.navigator.languages];
  const path = HELD.instead[address.pathname] || "/field";
  for (const language of [...wanted.map((one) => (one || "").slice(0, 2)), "en"]) {
    const found = await cache.match(`${path}?lang=${language}`);
    if (found) return found;
  }
  return null;
}

async function file(request, address) {
  const cache = await caches.open(CACHE);
  return (await cache.match(address.pathname)) || fetch(request);
}
