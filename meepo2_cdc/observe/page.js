"use strict";
// Puts the pieces in place that the server sends, and reads single values off the charts.
(() => {
  const link = document.getElementById("link");
  const main = document.getElementById("main");
  const cursors = new Map();

  const say = (text, lost) => {
    if (link.textContent !== text) link.textContent = text;
    link.classList.toggle("lost", lost);
  };

  const place = (name, after) => {
    let piece = document.getElementById(name);
    if (!piece) {
      piece = document.createElement("div");
      piece.className = "piece";
      piece.id = name;
      after ? after.after(piece) : main.prepend(piece);
    }
    return piece;
  };

  // What somebody opened, scrolled or stands on stays as it is.
  const replace = (piece, html) => {
    const open = [...piece.querySelectorAll("details[open]")].map((one) => one.id);
    const scrolled = [...piece.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    const focused = piece.contains(document.activeElement) ? path(piece, document.activeElement) : null;
    piece.innerHTML = html;
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    piece.querySelectorAll(".scroll").forEach((one, n) => { one.scrollLeft = scrolled[n] || 0; });
    piece.querySelectorAll(".plot").forEach(redraw);
    if (focused) focused.reduce((node, n) => node?.children[n], piece)?.focus({ preventScroll: true });
  };

  const path = (root, node) => {
    const steps = [];
    for (; node !== root; node = node.parentElement) steps.unshift([...node.parentElement.children].indexOf(node));
    return steps;
  };

  const listen = () => {
    const events = new EventSource("events");
    events.onmessage = (message) => {
      const { pieces, gone, order } = JSON.parse(message.data);
      gone.forEach((name) => document.getElementById(name)?.remove());
      let before = null;
      order.forEach((name) => {
        const piece = place(name, before);
        if (name in pieces) replace(piece, pieces[name]);
        before = piece;
      });
      say("live, every two seconds", false);
    };
    events.onerror = () => {
      say("connection lost: these numbers are old, and it is tried again", true);
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    };
  };

  // -- charts

  const pointsOf = (plot) => JSON.parse(plot.dataset.points).filter(([, value]) => value !== null);

  const nice = (value, unit) => {
    if (unit !== "seconds") return value.toLocaleString("en", { maximumFractionDigits: 1 }) + (unit === "per second" ? "/s" : "");
    return value < 1 ? Math.round(value * 1000) + " ms" : value.toFixed(1) + " s";
  };

  const ago = (seconds) => {
    const minutes = Math.floor(seconds / 60);
    return (minutes ? minutes + " min " : "") + Math.round(seconds % 60) + " s ago";
  };

  const show = (plot, secondsAgo) => {
    const points = pointsOf(plot);
    const figure = plot.closest("figure");
    if (!points.length) return;
    const nearest = points.reduce((a, b) => (Math.abs(b[0] - secondsAgo) < Math.abs(a[0] - secondsAgo) ? b : a));
    const cursor = plot.querySelector(".cursor");
    cursor.hidden = false;
    cursor.style.left = 100 * (1 - Math.min(1, nearest[0] / plot.dataset.span)) + "%";
    figure.querySelector(".now").textContent = nice(nearest[1], plot.dataset.unit) + ", " + ago(nearest[0]);
    cursors.set(figure.id, nearest[0]);
  };

  const hide = (plot) => {
    const figure = plot.closest("figure");
    const now = figure.querySelector(".now");
    plot.querySelector(".cursor").hidden = true;
    now.textContent = now.dataset.now;
    cursors.delete(figure.id);
  };

  const redraw = (plot) => {
    const at = cursors.get(plot.closest("figure").id);
    if (at !== undefined) show(plot, at);
  };

  const plotOf = (event) => event.target.closest?.(".plot");

  document.addEventListener("pointermove", (event) => {
    const plot = plotOf(event);
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    show(plot, (1 - (event.clientX - box.left) / box.width) * plot.dataset.span);
  });
  document.addEventListener("pointerout", (event) => { const plot = plotOf(event); if (plot) hide(plot); });
  document.addEventListener("focusout", (event) => { const plot = plotOf(event); if (plot) hide(plot); });
  document.addEventListener("keydown", (event) => {
    const plot = plotOf(event);
    const step = { ArrowLeft: 10, ArrowRight: -10, Home: 1e9, End: -1e9 }[event.key];
    if (!plot || step === undefined) {
      if (plot && event.key === "Escape") hide(plot);
      return;
    }
    event.preventDefault();
    const at = cursors.get(plot.closest("figure").id) ?? 0;
    plot.closest("figure").querySelector(".now").setAttribute("aria-live", "polite"); // only who asks is told
    show(plot, Math.min(plot.dataset.span, Math.max(0, at + step)));
  });

  listen();
})();
