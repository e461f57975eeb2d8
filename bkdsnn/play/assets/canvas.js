// A canvas to draw on with mouse, pen or finger. Its picture is sent when a stroke ends; an uploaded one is sent as it is.
const canvas = element.querySelector('canvas');
const context = canvas.getContext('2d');
const file = element.querySelector('input[type=file]');
let strokes = [];
let stroke = null;

function blank() {
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
}

function invite() {
  blank();
  context.fillStyle = '#6b6b6b';
  context.font = '20px system-ui, sans-serif';
  context.textAlign = 'center';
  context.fillText('Draw a digit here', canvas.width / 2, canvas.height / 2);
}

function draw(points) {
  context.lineWidth = canvas.width / 13;
  context.lineCap = context.lineJoin = 'round';
  context.strokeStyle = '#000';
  context.beginPath();
  context.moveTo(...points[0]);
  // The first point again, so that a dot is seen.
  points.forEach((point) => context.lineTo(...point));
  context.stroke();
}

function redraw() {
  if (strokes.length) blank();
  else invite();
  strokes.forEach(draw);
}

function send(value) {
  props.value = value;
  trigger('input');
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

canvas.addEventListener('pointerdown', (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  if (!strokes.length) blank();
  stroke = [point(event)];
  strokes.push(stroke);
  draw(stroke);
});
canvas.addEventListener('pointermove', (event) => {
  if (!stroke) return;
  stroke.push(point(event));
  draw(stroke.slice(-2));
});
['pointerup', 'pointercancel'].forEach((name) => canvas.addEventListener(name, () => {
  if (!stroke) return;
  stroke = null;
  send(canvas.toDataURL());
}));

element.querySelector('.undo').addEventListener('click', () => {
  strokes.pop();
  redraw();
  send(strokes.length ? canvas.toDataURL() : '');
});
element.querySelector('.clear').addEventListener('click', () => {
  strokes = [];
  redraw();
  send('');
});
element.querySelector('.upload').addEventListener('click', () => file.click());
file.addEventListener('change', () => {
  const reader = new FileReader();
  reader.onload = () => {
    strokes = [];
    blank();
    const image = new Image();
    image.onload = () => {
      const scale = Math.min(canvas.width / image.width, canvas.height / image.height);
      const [width, height] = [image.width * scale, image.height * scale];
      context.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    };
    image.src = reader.result;
    send(reader.result);
  };
  if (file.files.length) reader.readAsDataURL(file.files[0]);
  file.value = '';
});
// A test sample empties the canvas from outside.
watch('value', () => {
  if (props.value || stroke) return;
  strokes = [];
  invite();
});
invite();
