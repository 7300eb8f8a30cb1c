"use strict";
// What a page keeps in the browser by key: in IndexedDB, and in the entry of the browser's history,
// which survives a reload and needs no permission.  Not in localStorage: of a page that is opened
// from a file, Chromium (150) now and then gives another, empty one.
class Kept {
  static PATIENCE_MS = 5000; // for a database to open

  // without() is called where the browser keeps nothing in a database.
  constructor(without) {
    this.without = without;
    this.database = null;
    this.writing = 0;
  }

  async open() {
    try {
      let late;
      const patience = new Promise((_, fail) => { late = setTimeout(fail, Kept.PATIENCE_MS); });
      this.database = await Promise.race([Kept.opened(), patience]);
      clearTimeout(late);
      this.database.onclose = () => this.fail(); // its data were deleted
    } catch {
      this.fail();
    }
  }

  fail() {
    this.database = null;
    this.without();
  }

  // What lies under a key: [in the database, in the history], undefined where nothing does.
  async read(key) {
    const entry = (history.state || {})[key];
    if (!this.database) return [undefined, entry];
    try {
      return [await Kept.within(this.database, "readonly", (store, done) => {
        store.get(key).onsuccess = ({ target }) => done(target.result);
      }), entry];
    } catch {
      this.fail();
      return [undefined, entry];
    }
  }

  // Makes what lies in the database under a key with act(what lies there), as one step whatever
  // other tabs write, and gives it.  The history gets `whole` at once, as a page that is loaded
  // again does not wait for its database.
  async change(key, act, whole) {
    try {
      history.replaceState({ ...history.state, [key]: whole }, "");
    } catch { /* too much of it, or too often */ }
    if (!this.database) return whole;
    this.writing += 1;
    try {
      return await Kept.within(this.database, "readwrite", (store, done) => {
        store.get(key).onsuccess = ({ target }) => {
          const made = act(target.result);
          store.put(made, key);
          done(made);
        };
      });
    } catch {
      this.fail();
      return whole;
    } finally {
      this.writing -= 1;
    }
  }

  static opened() {
    return new Promise((good, bad) => {
      const asked = indexedDB.open("flukeprint-review", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("kept");
      asked.onsuccess = () => good(asked.result);
      asked.onerror = () => bad(asked.error);
    });
  }

  // What act(store, done) gives to done, once it is written.
  static within(database, mode, act) {
    return new Promise((good, bad) => {
      const transaction = database.transaction("kept", mode);
      let found;
      transaction.oncomplete = () => good(found);
      transaction.onerror = transaction.onabort = () => bad(transaction.error);
      act(transaction.objectStore("kept"), (value) => { found = value; });
    });
  }
}
