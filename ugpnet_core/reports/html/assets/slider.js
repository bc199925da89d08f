"use strict";

// Fingers, mouse and wheel on the stage. The divider follows a drag; on an enlarged picture a drag
// beside the divider moves the picture, and two fingers enlarge it.

function listenToPointers(stage, divider, view, split) {
  const pointers = new Map();
  let dragsDivider = false;

  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return {
      x: (event.clientX - box.left) / box.width,
      y: (event.clientY - box.top) / box.height,
    };
  };

  const moveDivider = (x) => {
    split.value = String(Math.round(Math.min(Math.max(x, 0), 1) * 100));
    split.dispatchEvent(new Event("input"));
  };

  const pinch = (before, after) => {
    const [one, other] = before;
    const [first, second] = after;
    const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
    const middle = { x: (first.x + second.x) / 2, y: (first.y + second.y) / 2 };
    view.pan(middle.x - (one.x + other.x) / 2, middle.y - (one.y + other.y) / 2);
    view.zoomTo((view.zoom * apart(first, second)) / apart(one, other), middle.x, middle.y);
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    split.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size > 1) return;
    dragsDivider = view.zoom === 1 || divider.contains(event.target);
    if (dragsDivider) moveDivider(place(event).x);
  });

  stage.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()];
    const last = pointers.get(event.pointerId);
    const now = place(event);
    pointers.set(event.pointerId, now);
    if (pointers.size === 2) {
      pinch(before, [...pointers.values()]);
    } else if (dragsDivider) {
      moveDivider(now.x);
    } else {
      view.pan(now.x - last.x, now.y - last.y);
    }
  });

  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }

  stage.addEventListener(
    "wheel",
    (event) => {
      const { x, y } = place(event);
      const changed = view.zoomTo(view.zoom * 2 ** (-event.deltaY / 240), x, y);
      // At the smallest zoom the wheel goes on scrolling the page.
      if (changed) event.preventDefault();
    },
    { passive: false },
  );
}
