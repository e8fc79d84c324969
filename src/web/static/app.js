// What a page does beyond being read: it is kept up to date, and says how long ago things were. It works without.
"use strict";

/** `3 min ago`, `in 2 h`. */
function relative(then) {
  const secs = Math.round((Date.now() - then) / 1000);
  const size = Math.abs(secs);
  const [count, unit] =
    size < 60 ? [size, "s"] : size < 3600 ? [Math.floor(size / 60), "min"]
      : size < 172800 ? [Math.floor(size / 3600), "h"] : [Math.floor(size / 86400), "d"];
  return secs >= 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`;
}

/** `in 1 min 5 s`: how long until something is tried again. */
function countdown() {
  for (const time of document.querySelectorAll("[data-countdown] time[datetime]")) {
    const left = Math.ceil((Date.parse(time.dateTime) - Date.now()) / 1000);
    const [hours, minutes, secs] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
    const parts = [[hours, "h"], [minutes, "min"], [secs, "s"]].filter(([count]) => count > 0);
    const note = time.querySelector("small") ?? time.appendChild(document.createElement("small"));
    note.textContent = left > 0 ? `in ${parts.map(([count, unit]) => `${count} ${unit}`).join(" ")}` : "any moment";
  }
}

function age() {
  countdown();
  for (const time of document.querySelectorAll("time[datetime]")) {
    if (time.closest("[data-countdown]")) continue;
    const then = Date.parse(time.dateTime);
    if (Number.isNaN(then)) continue;
    const note = time.querySelector("small") ?? time.appendChild(document.createElement("small"));
    const text = relative(then);
    if (note.textContent !== text) note.textContent = text;
  }
}

/** Brings the children of a living place to what the server says: its keys in order, and the contents that changed. */
function apply(place, { keys, html }) {
  const known = new Map();
  for (const child of [...place.children]) known.set(child.dataset.key, child);
  const wanted = keys.map((key) => {
    if (!(key in html)) return known.get(key);
    const parsed = document.createElement("template");
    parsed.innerHTML = html[key];
    return parsed.content.firstElementChild;
  });
  // Whoever is typing or has marked something in a part that stays is not disturbed.
  wanted.filter(Boolean).forEach((child, at) => {
    if (place.children[at] !== child) place.insertBefore(child, place.children[at] ?? null);
  });
  while (place.children.length > wanted.length) place.lastElementChild.remove();
}

function follow() {
  const main = document.querySelector("main[data-live]");
  if (!main || !document.querySelector("[id]")) return;
  const note = document.getElementById("live");
  const view = location.pathname + location.search.replace(/([?&])said=[^&]*&?/, "$1");
  let source, again;
  const open = () => {
    source?.close();
    source = new EventSource(`/live?view=${encodeURIComponent(view)}`);
    source.onmessage = ({ data }) => {
      note.hidden = true;
      for (const [name, change] of Object.entries(JSON.parse(data))) {
        const place = document.getElementById(name);
        if (place) apply(place, change);
      }
      age();
    };
    source.onerror = () => {
      note.hidden = false;
      note.textContent = "not up to date: trying to reach discuno";
      // A broken connection is tried again by itself; an answer that is none, as a proxy gives while discuno starts, is not.
      if (source.readyState !== EventSource.CLOSED || again) return;
      again = setTimeout(async () => {
        again = undefined;
        if (document.hidden) return;
        const known = await fetch(location.href, { redirect: "manual" }).then(({ type }) => type !== "opaqueredirect", () => true);
        if (known) open();
        else note.textContent = "logged out: reload this page";
      }, 10000);
    };
  };
  // A page that nobody looks at asks for nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) source?.close();
    else open();
  });
  window.addEventListener("pagehide", () => source?.close());
  if (!document.hidden) open();
}

age();
setInterval(age, 5000);
setInterval(countdown, 1000);
follow();
