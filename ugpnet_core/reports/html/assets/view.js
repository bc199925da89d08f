"use strict";

// What part of the pictures the stage shows, and how large. Places are in sides of the stage.

class View {
  static LARGEST = 16;
  // As in photograph.css: where the figures stand below the pictures, and how wide they are else.
  static NARROW = matchMedia("(max-width: 60rem)");
  static BESIDE = 27 * 16;

  constructor(stage, changed) {
    this.stage = stage;
    this.changed = changed;
    this.page = stage.closest("main");
    this.pixels = Number(stage.dataset.side);
    this.zoom = 1;
    this.x = 0; // of the pictures' upper left corner
    this.y = 0;
    new ResizeObserver(() => this.fit()).observe(this.page);
    window.addEventListener("resize", () => this.fit());
    this.fit();
  }

  // Take the room there is; pictures smaller than that are enlarged by whole factors, so that
  // all their pixels are equally large.
  fit() {
    const high = Math.max(window.innerHeight - 190, 240);
    const wide = this.page.clientWidth - (View.NARROW.matches ? 0 : View.BESIDE);
    const room = Math.min(wide, high) * devicePixelRatio;
    const factor = Math.floor(room / this.pixels);
    this.side = (factor >= 1 ? factor * this.pixels : room) / devicePixelRatio;
    this.stage.parentElement.style.setProperty("--side", `${this.side}px`);
    this.draw();
  }

  // Enlarge, with the point at (x, y) of the stage staying where it is.
  zoomTo(zoom, x = 0.5, y = 0.5) {
    const before = this.zoom;
    this.zoom = Math.min(Math.max(zoom, 1), View.LARGEST);
    const ratio = this.zoom / before;
    this.x = x - (x - this.x) * ratio;
    this.y = y - (y - this.y) * ratio;
    this.draw();
    return this.zoom !== before;
  }

  pan(x, y) {
    this.x += x;
    this.y += y;
    this.draw();
  }

  draw() {
    const inside = (place) => Math.min(0, Math.max(1 - this.zoom, place));
    this.x = inside(this.x);
    this.y = inside(this.y);
    const { style, classList } = this.stage;
    style.setProperty("--zoom", this.zoom);
    style.setProperty("--x", this.x);
    style.setProperty("--y", this.y);
    classList.toggle("zoomed", this.zoom > 1);
    classList.toggle("pixels", this.side * this.zoom * devicePixelRatio >= this.pixels);
    this.changed(this.zoom);
  }
}
