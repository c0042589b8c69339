// The frame: grey and coloured, a slider between them, strokes on top. Frames are fetched one at a time, the newest
// wish first; what the page knows of painting is sent as strokes in shares of width and height.
export default {
  template: `
    <div ref="root" class="stage" tabindex="0">
      <canvas ref="canvas" @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="up"
              @pointerleave="hover = null; draw()" data-testid="stage"></canvas>
      <div class="stage-note" v-show="busy || pending.length">{{ busy || "spreading the colour" }}</div>
    </div>`,
  props: { total: Number, width: Number, height: Number, stamp: String },
  data() {
    return {
      index: 0, layer: "color", version: "", split: 0, before: false, tool: "look", color: "#b06040", size: 0.012,
      strokes: [], pending: [], made: 0, current: null, hover: null, playing: false, busy: "", fps: 24,
    };
  },
  mounted() {
    this.images = new Map();
    this.loading = {};
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.$refs.root);
    window.addEventListener("keydown", this.key);
    window.addEventListener("keyup", this.keyUp);
    this.show(0);
  },
  unmounted() {
    this.observer.disconnect();
    window.removeEventListener("keydown", this.key);
    window.removeEventListener("keyup", this.keyUp);
    this.playing = false;
  },
  methods: {
    configure(values) {
      const fresh = values.version !== undefined && values.version !== this.version;
      // Strokes made since the server last said which ones it has stay until it has them, too.
      const { known, painted, ...rest } = values;
      Object.assign(this, rest);
      if (painted !== undefined && painted.frame === this.index) this.strokes = painted.strokes;
      if (known !== undefined) this.pending = this.pending.filter((stroke) => stroke.id > known);
      if (fresh || values.layer) this.fetchBoth();
      this.draw();
    },
    show(index) {
      index = Math.max(0, Math.min(this.total - 1, Math.round(index)));
      if (index !== this.index || !this.shownOnce) {
        this.shownOnce = true;
        if (index !== this.index) this.strokes = this.pending = [];
        this.index = index;
        this.tell();
      }
      this.fetchBoth();
    },
    tell() {
      // Not more often than the server can follow.
      if (this.telling) return;
      this.telling = setTimeout(() => { this.telling = null; this.$emit("frame", this.index); }, 60);
    },
    url(index, layer) {
      const version = layer === "grey" ? this.stamp : this.version || this.stamp;
      return `desk/frame/${index}?layer=${layer}&v=${version}`;
    },
    fetchBoth() {
      this.fetch("grey");
      if (this.layer !== "grey") this.fetch(this.layer);
      this.draw();
    },
    fetch(layer) {
      const url = this.url(this.index, layer);
      if (this.images.has(url)) return this.arrived();
      if (this.loading[layer]) return;
      this.loading[layer] = true;
      const image = new Image();
      const asked = this.index;
      const end = () => {
        this.loading[layer] = false;
        if (this.url(this.index, layer) !== url) this.fetch(layer);
        this.arrived();
      };
      image.onload = () => {
        image.frame = asked;
        this.images.set(url, image);
        if (this.images.size > 90) this.images.delete(this.images.keys().next().value);
        if (layer !== "grey") this.latest = image;
        else this.latestGrey = image;
        end();
      };
      image.onerror = () => setTimeout(end, 500);
      image.src = url;
    },
    arrived() {
      this.draw();
      if (this.playing && this.ready()) {
        clearTimeout(this.next);
        const due = Math.max(0, 1000 / this.fps - (performance.now() - (this.stepped || 0)));
        this.next = setTimeout(() => {
          this.stepped = performance.now();
          if (!this.playing) return;
          if (this.index + 1 >= this.total) this.playing = false;
          else this.show(this.index + 1);
        }, due);
      }
    },
    ready() {
      const color = this.layer === "grey" || this.images.has(this.url(this.index, this.layer));
      return color && this.images.has(this.url(this.index, "grey"));
    },
    pick(layer) {
      const exact = this.images.get(this.url(this.index, layer));
      if (exact) return exact;
      // An older look of the same frame is better than nothing while the new one is on its way.
      const stale = layer === "grey" ? this.latestGrey : this.latest;
      return stale;
    },
    box() {
      const room = this.$refs.root.getBoundingClientRect();
      const scale = Math.min(room.width / this.width, room.height / this.height);
      const [w, h] = [this.width * scale, this.height * scale];
      return { x: (room.width - w) / 2, y: (room.height - h) / 2, w, h, room };
    },
    draw() {
      const canvas = this.$refs.canvas;
      if (!canvas) return;
      const { x, y, w, h, room } = this.box();
      const dense = window.devicePixelRatio || 1;
      const [cw, ch] = [Math.round(room.width * dense), Math.round(room.height * dense)];
      if (canvas.width !== cw || canvas.height !== ch) { canvas.width = cw; canvas.height = ch; }
      const c = canvas.getContext("2d");
      c.setTransform(dense, 0, 0, dense, 0, 0);
      c.clearRect(0, 0, room.width, room.height);
      const grey = this.pick("grey");
      const color = this.layer === "grey" ? null : this.pick(this.layer);
      if (grey) c.drawImage(grey, x, y, w, h);
      const split = this.before ? 1 : this.split;
      if (color && split < 1) {
        c.save();
        c.beginPath(); c.rect(x + w * split, y, w * (1 - split), h); c.clip();
        c.drawImage(color, x, y, w, h);
        c.restore();
      }
      if (split > 0 && split < 1) {
        c.fillStyle = "rgba(255,255,255,.9)"; c.fillRect(x + w * split - 1, y, 2, h);
      }
      const made = this.strokes.concat(this.pending, this.current ? [this.current] : []);
      const strokes = this.tool === "look" || this.before ? [] : made;
      for (const stroke of strokes) this.trace(c, stroke, x, y, w, h);
      if (this.hover && this.tool !== "look") {
        c.beginPath(); c.arc(this.hover[0], this.hover[1], Math.max(2, this.size * w / 2), 0, 7);
        c.strokeStyle = "#fff"; c.lineWidth = 1.5; c.stroke();
        c.strokeStyle = "#000"; c.lineWidth = 0.5; c.stroke();
      }
      canvas.dataset.frame = this.index;
      canvas.dataset.ready = this.ready();
      canvas.dataset.tool = this.tool;
      canvas.dataset.busy = Boolean(this.busy || this.pending.length);
    },
    trace(c, stroke, x, y, w, h) {
      const points = stroke.points.map(([px, py]) => [x + px * w, y + py * h]);
      c.lineCap = c.lineJoin = "round";
      const path = () => {
        c.beginPath(); c.moveTo(...points[0]);
        for (const point of points.slice(1)) c.lineTo(...point);
        if (points.length === 1) c.lineTo(points[0][0] + 0.01, points[0][1]);
        c.stroke();
      };
      const [r, g, b] = stroke.color;
      c.lineWidth = Math.max(2, stroke.size * w) + 2; c.strokeStyle = "rgba(255,255,255,.75)";
      if (stroke.kind === "keep") c.setLineDash([6, 6]);
      path();
      c.lineWidth = Math.max(2, stroke.size * w);
      c.strokeStyle = stroke.kind === "brush" ? `rgb(${r},${g},${b})` : "rgba(20,20,20,.7)";
      path(); c.setLineDash([]);
    },
    place(event) {
      const { x, y, w, h, room } = this.box();
      const [px, py] = [event.clientX - room.left, event.clientY - room.top];
      this.hover = [px, py];
      return [(px - x) / w, (py - y) / h];
    },
    down(event) {
      this.$refs.root.focus({ preventScroll: true });
      this.$refs.canvas.setPointerCapture(event.pointerId);
      const [px, py] = this.place(event);
      if (px < 0 || px > 1 || py < 0 || py > 1) return;
      if (this.tool === "look") { this.dragging = true; this.split = px < 0.01 ? 0 : px; return this.draw(); }
      if (this.tool === "pick" || event.altKey) return this.sample(px, py);
      this.playing = false;
      const rgb = [1, 3, 5].map((at) => parseInt(this.color.slice(at, at + 2), 16));
      this.current = { kind: this.tool, points: [[px, py]], size: this.size, color: rgb };
      this.draw();
    },
    move(event) {
      const [px, py] = this.place(event);
      if (this.dragging) this.split = Math.max(0, Math.min(1, px));
      if (this.current) this.current.points.push([Math.max(0, Math.min(1, px)), Math.max(0, Math.min(1, py))]);
      this.draw();
    },
    up() {
      this.dragging = false;
      if (!this.current) return;
      const stroke = { ...this.current, id: ++this.made };
      this.current = null;
      this.pending = this.pending.concat([stroke]);
      this.$emit("stroke", { frame: this.index, ...stroke });
      this.draw();
    },
    sample(px, py) {
      const image = this.pick(this.layer === "grey" ? "color" : this.layer);
      if (!image) return;
      const dot = document.createElement("canvas");
      dot.width = dot.height = 1;
      const c = dot.getContext("2d");
      c.drawImage(image, px * image.naturalWidth - 1, py * image.naturalHeight - 1, 3, 3, 0, 0, 1, 1);
      const hex = "#" + [...c.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((v) => v.toString(16).padStart(2, "0")).join("");
      this.color = hex;
      this.$emit("pick", hex);
    },
    key(event) {
      if (event.target.closest("input, textarea, [contenteditable], .q-dialog")) return;
      const step = event.shiftKey ? 10 : 1;
      const act = {
        ArrowRight: () => this.show(this.index + step),
        ArrowLeft: () => this.show(this.index - step),
        Home: () => this.show(0),
        End: () => this.show(this.total - 1),
        " ": () => this.toggle(),
        b: () => { this.before = true; this.draw(); },
        "[": () => { this.size = Math.max(0.002, this.size / 1.25); this.draw(); this.$emit("size", this.size); },
        "]": () => { this.size = Math.min(0.2, this.size * 1.25); this.draw(); this.$emit("size", this.size); },
      };
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
        this.$emit(event.shiftKey ? "redo" : "undo", this.index);
      } else if (!event.ctrlKey && !event.metaKey && act[event.key]) {
        act[event.key]();
      } else if (!event.ctrlKey && !event.metaKey && "lpkexcnsm".includes(event.key) && event.key.length === 1) {
        this.$emit("command", event.key);
      } else return;
      event.preventDefault();
    },
    keyUp(event) {
      if (event.key === "b") { this.before = false; this.draw(); }
    },
    toggle() {
      this.playing = !this.playing;
      if (this.playing && this.index + 1 >= this.total) this.show(0);
      this.$emit("playing", this.playing);
      this.arrived();
    },
  },
};
