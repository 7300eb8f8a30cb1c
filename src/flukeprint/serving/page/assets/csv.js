"use strict";
// A table as CSV: rows of strings, numbers and nulls enter, text leaves (RFC 4180).
(() => {
  const fluke = (window.flukeprint = window.flukeprint || {});

  // A spreadsheet takes a text that begins like this for a formula; with ' before it, for a text.
  const FORMULA = /^\s*[=+\-@\t\r\n|]/;

  function cell(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
    const text = FORMULA.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  fluke.csv = (rows) => rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
})();
