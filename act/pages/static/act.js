// Pages that are live bring their content anew every few seconds, as long as somebody looks. All works without this.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const told = document.getElementById("live");
  const every = 1000 * Number(main.dataset.live);
  const tell = (text) => { if (told) told.textContent = " · " + text; };
  const busy = () => (main.contains(document.activeElement) && document.activeElement !== main)
    || !document.getSelection().isCollapsed;
  const scrolled = () => [...main.querySelectorAll(".scroll")];
  const again = async () => {
    if (document.hidden || busy()) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", signal: AbortSignal.timeout(every) });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = new Set([...main.querySelectorAll("details[open] > summary")].map((s) => s.textContent));
      const lefts = new Map(scrolled().map((e) => [e.getAttribute("aria-label"), e.scrollLeft]));
      main.replaceChildren(...page.querySelector("main").childNodes);
      for (const e of scrolled()) e.scrollLeft = lefts.get(e.getAttribute("aria-label")) ?? 0;
      for (const s of main.querySelectorAll("details > summary")) s.parentElement.open = open.has(s.textContent);
      document.querySelector("footer time").replaceWith(page.querySelector("footer time"));
      document.title = page.title;
      tell("live");
    } catch (error) {
      tell("no answer from the tower since this");
    }
  };
  tell("live");
  setInterval(again, every);
})();
