// The film as a strip: small frames, how well stills cover it, shots with cuts that can be dragged, stills, position.
export default {
  template: `<div ref="root" class="timeline"><canvas ref="canvas" data-testid="timeline"
      @pointerdown="down" @pointermove="move" @pointerup="up" @wheel.prevent="wheel"></canvas></div>`,
  props: { stamp: String },
  data() {
    return { total: 1, shots: [], stills: [], covered: [], index: 0, from: 0, to: 1 };
  },
  mounted() {
    this.thumbs = new Map();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$refs.root);
    // The page goes light or dark by itself, too.
    this.lamp = new MutationObserver(() => this.draw());
    this.lamp.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  },
  unmounted() { this.observer.disconnect(); this.lamp.disconnect(); },
  methods: {
    configure(values) {
      const before = this.total;
      Object.assign(this, values);
      if (this.to <= 1 || before !== this.total) { this.from = 0; this.to = this.total; }
      if (values.index !== undefined && !this.dragging && (this.index < this.from || this.index >= this.to)) {
        const span = this.to - this.from;
        this.from = Math.max(0, Math.min(this.total - span, this.index - span / 2)); this.to = this.from + span;
      }
      this.draw();
    },
    size() { return this.$refs.root.getBoundingClientRect(); },
    toX(frame) { return (frame - this.from) / (this.to - this.from) * this.size().width; },
    toFrame(x) { return this.from + x / this.size().width * (this.to - this.from); },
    draw() {
      const canvas = this.$refs.canvas;
      if (!canvas) return;
      const { width, height } = this.size(), dense = window.devicePixelRatio || 1;
      canvas.width = Math.round(width * dense); canvas.height = Math.round(height * dense);
      const c = canvas.getContext("2d");
      c.scale(dense, dense);
      const dark = document.body.classList.contains("body--dark");
      const ink = dark ? "#e6e6e6" : "#20242a", faint = dark ? "#3a4048" : "#d5d9df";
      const top = 18, tall = height - top - 16;
      const step = Math.max(40, tall * 16 / 9);
      for (let x = 0; x < width; x += step) {
        const frame = Math.floor(this.toFrame(x + step / 2));
        if (frame < this.total) this.thumb(c, frame, x, top, step, tall);
      }
      c.font = "11px sans-serif"; c.textBaseline = "middle";
      this.shots.forEach((shot, number) => {
        const x = this.toX(shot.start), w = this.toX(shot.stop) - x;
        if (x + w < 0 || x > width) return;
        const here = this.index >= shot.start && this.index < shot.stop;
        c.fillStyle = here ? "#3878c8" : faint; c.fillRect(x + 0.5, 0, Math.max(1, w - 1), top - 3);
        if (w > 26) {
          c.save(); c.beginPath(); c.rect(x, 0, w, top); c.clip();
          c.fillStyle = here ? "#fff" : ink; c.fillText(`${number + 1}${shot.grey ? " grey" : ""}`, Math.max(x, 0) + 5, top / 2 - 1);
          c.restore();
        }
        if (shot.start > 0) { c.fillStyle = ink; c.fillRect(x - 0.5, 0, 1.5, height - 14); }
      });
      const y = height - 12;
      c.fillStyle = faint; c.fillRect(0, y, width, 10);
      const bins = this.covered.length;
      for (let bin = 0; bin < bins; bin++) {
        const level = this.covered[bin];
        if (level < 0) continue;
        const x = this.toX(bin / bins * this.total), w = this.toX((bin + 1) / bins * this.total) - x;
        c.fillStyle = `hsl(${level * 1.3}, 62%, ${dark ? 46 : 44}%)`;
        c.fillRect(x, y, Math.max(w, 0.7), 10);
      }
      for (const still of this.stills) {
        const x = this.toX(still);
        c.beginPath(); c.moveTo(x, y - 9); c.lineTo(x + 6, y - 1); c.lineTo(x, y + 7); c.lineTo(x - 6, y - 1); c.closePath();
        c.fillStyle = "#f2a33c"; c.fill(); c.strokeStyle = "#20242a"; c.lineWidth = 1; c.stroke();
      }
      const x = this.toX(this.index + 0.5);
      c.fillStyle = "#e5484d"; c.fillRect(x - 1, 0, 2, height);
      c.beginPath(); c.moveTo(x - 6, 0); c.lineTo(x + 6, 0); c.lineTo(x, 8); c.fill();
    },
    thumb(c, frame, x, y, w, h) {
      const image = this.thumbs.get(frame);
      if (image && image.complete && image.naturalWidth) {
        const scale = Math.max(w / image.naturalWidth, h / image.naturalHeight);
        const [sw, sh] = [w / scale, h / scale];
        c.drawImage(image, (image.naturalWidth - sw) / 2, (image.naturalHeight - sh) / 2, sw, sh, x, y, w, h);
      } else if (!image) {
        const fresh = new Image();
        this.thumbs.set(frame, fresh);
        if (this.thumbs.size > 600) this.thumbs.delete(this.thumbs.keys().next().value);
        fresh.onload = () => this.soon();
        fresh.src = `desk/thumb/${frame}?v=${this.stamp}`;
      }
    },
    soon() { if (!this.due) this.due = setTimeout(() => { this.due = null; this.draw(); }, 50); },
    cutAt(x) {
      return this.shots.find((shot) => shot.start > 0 && Math.abs(this.toX(shot.start) - x) < 5);
    },
    at(event) { return event.clientX - this.size().left; },
    down(event) {
      this.$refs.canvas.setPointerCapture(event.pointerId);
      const x = this.at(event);
      this.cut = event.clientY - this.size().top < 20 ? this.cutAt(x) : null;
      this.dragging = true;
      if (this.cut) this.cutFrom = this.cut.start; else this.seek(x);
    },
    move(event) {
      const x = this.at(event);
      const near = event.clientY - this.size().top < 20 && this.cutAt(x);
      this.$refs.canvas.style.cursor = near || this.cut ? "ew-resize" : "pointer";
      if (!this.dragging) return;
      if (this.cut) { this.cut.start = Math.round(this.toFrame(x)); this.draw(); } else this.seek(x);
    },
    up(event) {
      if (this.cut) this.$emit("movecut", { start: this.cutFrom, frame: Math.round(this.toFrame(this.at(event))) });
      this.cut = null; this.dragging = false;
    },
    seek(x) {
      this.index = Math.max(0, Math.min(this.total - 1, Math.floor(this.toFrame(x))));
      this.$emit("seek", this.index);
      this.draw();
    },
    wheel(event) {
      const middle = this.toFrame(this.at(event)), factor = Math.exp(event.deltaY * 0.0015);
      const span = Math.max(Math.min(24, this.total), Math.min(this.total, (this.to - this.from) * factor));
      const share = this.at(event) / this.size().width;
      this.from = Math.max(0, Math.min(this.total - span, middle - share * span + event.deltaX / 1000 * span));
      this.to = this.from + span;
      this.draw();
    },
  },
};
