// Switches a player between the time steps that are all in its HTML; see panels.py.
const isStill = matchMedia('(prefers-reduced-motion: reduce)').matches;
let timer = null;

function show(step, isMoving) {
  const player = element.querySelector('.player');
  const at = (node, name) => JSON.parse(node.dataset[name])[step - 1];
  player.style.setProperty('--step', step - 1);
  player.querySelector('input').value = step;
  player.querySelectorAll('[data-texts]').forEach((node) => { node.textContent = at(node, 'texts'); });
  player.querySelectorAll('[data-shares]').forEach((node) => node.style.setProperty('--share', at(node, 'shares')));
  player.querySelectorAll('[data-flags]').forEach((node) => node.classList.toggle('on', at(node, 'flags')));
  player.querySelectorAll('[data-step]').forEach((node) => {
    node.classList.toggle('on', Number(node.dataset.step) === step);
    node.classList.toggle('past', Number(node.dataset.step) <= step);
  });
  if (isMoving) {
    // Within a step, spikes go from layer to layer.
    player.querySelectorAll('.student').forEach((student) => student.querySelectorAll('.sprite').forEach((sprite, i) => {
      sprite.animate([{ opacity: 0.15 }, { opacity: 1 }], { duration: 220, delay: 110 * i, fill: 'backwards' });
    }));
  }
}

function pause() {
  clearInterval(timer);
  timer = null;
  const button = element.querySelector('.run');
  if (button) {
    button.textContent = '▶';
    button.setAttribute('aria-label', 'Play');
  }
}

function play() {
  pause();
  const steps = Number(element.querySelector('.player').dataset.steps);
  const button = element.querySelector('.run');
  button.textContent = '❚❚';
  button.setAttribute('aria-label', 'Pause');
  let step = 1;
  show(step, true);
  timer = setInterval(() => {
    if (!element.querySelector('.player') || step >= steps) return pause();
    step += 1;
    show(step, true);
  }, steps > 6 ? 450 : 800);
}

function start() {
  pause();
  const player = element.querySelector('.player');
  if (!player) return;
  if (isStill) show(Number(player.dataset.steps), false);
  else play();
}

element.addEventListener('click', (event) => {
  const step = event.target.closest('[data-step]');
  if (event.target.closest('.run')) {
    if (timer) pause();
    else play();
  } else if (step) {
    pause();
    show(Number(step.dataset.step), false);
  }
});
element.addEventListener('input', (event) => {
  if (!event.target.matches('.controls input')) return;
  pause();
  show(Number(event.target.value), false);
});
watch('value', start);
start();
