// What is asked of the server. Every address is below the page's own, which has the token in it.

/// Asks for JSON; an error has what the server says of it.
async function json(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", ...options });
  const text = await response.text();
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    // Not JSON: an error without a text of its own.
  }
  if (!response.ok) throw Object.assign(new Error(value?.error ?? `status ${response.status}`), { status: response.status });
  return value;
}

export const state = () => json("api/state");

/// Which rows after `after` match.
export const match = (filter, after, signal) =>
  json(`api/match?filter=${encodeURIComponent(filter)}&after=${after}`, { signal });

/// One exchange; `null` when it is held no more.
export async function exchange(id) {
  try {
    return await json(`api/exchange/${id}`);
  } catch (error) {
    if (error.status === 410) return null;
    throw error;
  }
}

/// Sends a file, and says how far it is.
export function send(file, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "api/import");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      let value = {};
      try {
        value = JSON.parse(request.responseText);
      } catch {
        // An error without a text of its own.
      }
      if (request.status === 200) resolve(value);
      else reject(new Error(value.error ?? `status ${request.status}`));
    });
    request.addEventListener("error", () => reject(new Error("the connection broke off")));
    request.send(file);
  });
}

/// Follows what comes. The browser connects again by itself, and says which row it had last.
export function follow({ onRows, onNames, onHeld, onLink }) {
  const source = new EventSource("api/events");
  source.addEventListener("open", () => onLink("live"));
  source.addEventListener("error", () => onLink(source.readyState === EventSource.CLOSED ? "closed" : "waiting"));
  source.addEventListener("rows", (event) => onRows(JSON.parse(event.data)));
  source.addEventListener("names", (event) => onNames(JSON.parse(event.data)));
  source.addEventListener("end", () => {
    source.close();
    onLink("closed");
  });
  source.addEventListener("held", (event) => onHeld(JSON.parse(event.data)));
  return source;
}
