"""The report's page in headless Chromium, where there is one."""
import html
import json
import shutil
import subprocess

import numpy as np
import pytest

from bkdsnn.report.pieces import heat_table, stacked_table, table

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='there is no Chromium')

FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
         '--disable-background-networking', '--disable-component-update', '--enable-logging=stderr',
         '--virtual-time-budget=3000', '--window-size=1400,900']
# The page stands in a frame of the size of a phone, since a headless window may not be that narrow.
AROUND = '''<body><iframe width="{width}" height="{height}" srcdoc="{page}"></iframe><pre id="found"></pre><script>
onload = () => {{
  const frame = frames[0], page = frame.document, root = page.documentElement;
  page.querySelectorAll('details').forEach(part => part.open = true);
  const rgba = text => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number).concat(1).slice(0, 4);
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = c => c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = part => !part ? [255, 255, 255, 1] :
    over(rgba(frame.getComputedStyle(part).backgroundColor), paper(part.parentElement));
  const words = [...page.querySelectorAll('body *')].filter(part => part.checkVisibility() &&
    [...part.childNodes].some(node => node.nodeType == 3 && node.data.trim()));
  const contrasts = words.map(part => {{
    const style = frame.getComputedStyle(part), drawn = part instanceof frame.SVGElement;
    const back = paper(part), ink = over(rgba(drawn ? style.fill : style.color), back);
    const [low, high] = [light(ink), light(back)].sort((a, b) => a - b);
    return [(high + 0.05) / (low + 0.05), part.textContent.trim().slice(0, 30)];
  }}).sort((a, b) => a[0] - b[0]);
  document.getElementById('found').textContent = JSON.stringify({{
    width: root.clientWidth, content: root.scrollWidth, words: words.length, contrast: contrasts[0],
    scrolling: [...page.querySelectorAll('.scroll')].filter(part => part.scrollWidth > part.clientWidth + 1)
      .map(part => part.textContent.trim().slice(0, 40)),
    smallest: Math.min(...words.map(part => part.getBoundingClientRect().height).filter(h => h > 0)),
    broken: [...page.images].filter(image => !image.complete || !image.naturalWidth).length,
    requests: frame.performance.getEntriesByType('resource').map(entry => entry.name)
      .filter(name => !name.startsWith('data:')),
    background: frame.getComputedStyle(page.body).backgroundColor}});
}};
</script></body>'''


def look_at(page, tmp_path, width, height, dark=False):
    """What the page is like in a window of that size, and what the console says."""
    around = tmp_path / 'around.html'
    around.write_text(AROUND.format(page=html.escape(page), width=width, height=height), encoding='utf-8')
    flags = FLAGS + [f'--user-data-dir={tmp_path / "profile"}'] + ['--blink-settings=preferredColorScheme=0'] * dark
    result = subprocess.run([CHROMIUM, *flags, '--dump-dom', around.as_uri()], capture_output=True, text=True,
                            timeout=120, check=True)
    start = result.stdout.rindex('<pre id="found">') + len('<pre id="found">')
    found = json.loads(html.unescape(result.stdout[start:result.stdout.index('</pre>', start)]))
    found['console'] = [line for line in result.stderr.splitlines() if ':CONSOLE' in line]
    return found


@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
@pytest.mark.parametrize('width, height', [(390, 844), (1280, 800)], ids=['phone', 'desktop'])
def test_page_fits_and_can_be_read(small_report, tmp_path, width, height, dark):
    found = look_at(small_report[0].read_text(encoding='utf-8'), tmp_path, width, height, dark)
    # A scroll bar takes its part of the width.
    assert found['content'] <= found['width'] <= width and found['scrolling'] == []
    assert found['words'] > 300 and found['contrast'][0] >= 4.5, found['contrast']
    assert found['broken'] == 0 and found['requests'] == [] and found['console'] == []
    assert found['background'] == ('rgb(21, 23, 26)' if dark else 'rgb(255, 255, 255)')


def test_long_names_and_many_columns_do_not_widen_the_page(small_report, tmp_path):
    name = 'spikingformer-8-384-t4_vit-base_4xb48-310e_in1k'
    names = [f'{name}/{i}' for i in range(6)]
    classes = [f'honeydew_melon_{i}' for i in range(12)]
    body = (table(['Method', *names], [[name, *['12.34 ± 5.67'] * 6]]) +
            stacked_table(['Setting', *names], [[f'<code>{name}</code>', *[name * 3] * 6]]) +
            heat_table(classes, classes, np.eye(12), [['1'] * 12] * 12, name, 'true'))
    more = f'<section><h2>{name}</h2><p>{name}</p>{body}</section></main>'
    page = small_report[0].read_text(encoding='utf-8').replace('</main>', more)
    found = look_at(page, tmp_path, 390, 844)
    assert found['content'] <= found['width']
