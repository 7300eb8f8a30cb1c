// Writes rows of strings, numbers and nulls as CSV (RFC 4180).

// A spreadsheet reads text that begins like this as a formula; with ' before it, as text.
const FORMULA = /^\s*[=+\-@\t\r\n|]/;

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csv = (rows) => rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
