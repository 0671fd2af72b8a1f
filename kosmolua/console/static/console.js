// Renews a page that is marked as live, while it is visible and nobody types, selects or reads a menu in it.
// Everything works without this file.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const PAUSE = 3000, LONGEST = 60000;
  let on = sessionStorage.getItem("live") !== "off", pause = PAUSE;

  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain live";
  const show = () => {
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Live" : "Paused";
    button.title = on ? "Stop renewing this page" : "Renew this page as things change";
  };
  button.addEventListener("click", () => {
    on = !on;
    sessionStorage.setItem("live", on ? "on" : "off");
    show();
  });
  show();
  document.querySelector("footer").prepend(button);

  const busy = () => {
    const active = document.activeElement;
    const typing = main.contains(active) && /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY)$/.test(active.tagName);
    const typed = [...main.querySelectorAll("input, textarea")].some((each) => each.value !== each.defaultValue);
    return typing || typed || !getSelection().isCollapsed || main.querySelector("details.action[open]");
  };

  const put = (next) => {
    if (next.innerHTML === main.innerHTML) return;
    const active = document.activeElement;
    const focused = main.contains(active) && active.getAttribute("href");
    const scrolled = [...main.querySelectorAll("pre, .wide")].map((each) => [each.scrollTop, each.scrollLeft]);
    main.replaceChildren(...next.childNodes);
    if (focused) main.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    [...main.querySelectorAll("pre, .wide")].forEach((each, at) => {
      if (scrolled[at]) [each.scrollTop, each.scrollLeft] = scrolled[at];
    });
  };

  const renew = async () => {
    if (!on || document.hidden || busy()) return;
    try {
      const answer = await fetch(location.href, { redirect: "manual", headers: { "x-renew": "1" } });
      if (answer.type === "opaqueredirect") return location.reload();
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!busy()) put(page.querySelector("main"));
      pause = PAUSE;
    } catch {
      pause = Math.min(2 * pause, LONGEST);
    }
  };
  const next = () => setTimeout(() => renew().finally(next), pause);
  next();
})();
