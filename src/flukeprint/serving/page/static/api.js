// Asks the API in the name of who has signed in.
import { gone, headers, translate } from "./page.js";

// {ok, status, body}; {ok: false, status: 0} where the service cannot be reached.
export async function ask(method, path, body, type = "application/json") {
  try {
    const more = body === undefined ? {} : { "Content-Type": type };
    const answer = await fetch(path, {
      method, headers: { ...(await headers()), ...more },
      body: body === undefined || type !== "application/json" ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    gone(false);
    return { ok: answer.ok, status: answer.status, body: read(text), after: Number(answer.headers.get("Retry-After")) };
  } catch {
    gone(true);
    return { ok: false, status: 0, body: null, after: 0 };
  }
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // nothing, or an answer that is not the API's, such as a proxy's
  }
}

// Why something was refused, for people.
export const why = ({ status, body }) =>
  status === 0 ? translate("gone") : (body && body.detail) || translate("failed");
