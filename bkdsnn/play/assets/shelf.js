// Tells which picture was chosen.
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-index]');
  if (!button) return;
  element.querySelectorAll('button').forEach((other) => other.classList.toggle('on', other === button));
  trigger('select', { index: Number(button.dataset.index) });
});
