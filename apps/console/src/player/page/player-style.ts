/**
 * The player's style, adopted as a constructed sheet: a strict style-src needs no exception for it. Colours come from the page's
 * custom properties where it has them.
 */
const css = `
:host { display: block; container-type: inline-size; color: var(--p-text);
  --p-surface: var(--surface, light-dark(#fff, #161b22)); --p-raised: var(--raised, light-dark(#eef0f3, #1f262f));
  --p-line: var(--line, light-dark(#dde1e7, #2b333d)); --p-text: var(--text, light-dark(#171a1f, #e7eaee));
  --p-muted: var(--muted, light-dark(#59626e, #9aa5b1)); --p-accent: var(--accent, light-dark(#2152cc, #82a6ff));
  --p-accent-soft: var(--accent-soft, light-dark(#e7edfc, #1b2740));
  --p-good: var(--good, light-dark(#12704a, #56cf96)); --p-good-soft: var(--good-soft, light-dark(#e2f4eb, #14291f));
  --p-warn: var(--warn, light-dark(#8a5300, #f0b652)); --p-warn-soft: var(--warn-soft, light-dark(#fdf1dd, #2f2413));
  --p-bad: var(--bad, light-dark(#b0261e, #ff8f86)); --p-bad-soft: var(--bad-soft, light-dark(#fdeae8, #371a19));
  font: 14px / 1.45 var(--sans, system-ui, sans-serif); }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.grid { display: grid; grid-template-columns: minmax(0, 1fr) 330px; gap: 16px; align-items: stretch; }
.box { background: var(--p-surface); border: 1px solid var(--p-line); border-radius: 12px; overflow: hidden; }
.main { display: flex; flex-direction: column; }
.stage { position: relative; background: #0a0c10; flex: 1; min-height: 220px; max-height: max(320px, calc(100dvh - 262px));
  aspect-ratio: 16 / 10; width: 100%; overflow: hidden; display: grid; }
.stage canvas { width: 100%; height: 100%; object-fit: contain; min-height: 0; grid-area: 1 / 1; }
.stage.actual { overflow: auto; place-items: center; }
.stage.actual canvas { width: auto; height: auto; object-fit: none; }
.stage .cover-pad { position: absolute; inset: 0; cursor: crosshair; touch-action: none; outline: 3px dashed var(--p-accent); outline-offset: -3px; }
.stage .covers { position: absolute; inset: 0; width: 100%; height: 100%; }
.covers .cover { fill: #000; stroke: #ffb52e; stroke-width: 2; vector-effect: non-scaling-stroke; }
.covers .drawing { fill: #0008; stroke: #ffb52e; stroke-width: 2; stroke-dasharray: 6 4; vector-effect: non-scaling-stroke; }
.stage .pad { position: absolute; inset: 0; cursor: crosshair; touch-action: none; outline: 3px solid var(--p-bad); outline-offset: -3px; }
.stage .monitors { grid-area: 1 / 1; width: 100%; height: 100%; min-height: 0; pointer-events: none; }
.stage.actual .monitors { width: var(--width); height: var(--height); }
.monitors .outline { fill: none; stroke: #ffb52e; }
.monitors .tag { fill: #ffb52e; }
.monitors .number { fill: #1b1300; font-weight: 700; text-anchor: middle; dominant-baseline: central; }
.stage:focus-visible { outline: 3px solid var(--p-accent); outline-offset: -3px; }
.veil { grid-area: 1 / 1; place-self: center; max-width: 36em; margin: 20px; padding: 12px 18px; border-radius: 8px; background: rgb(10 12 16 / 85%);
  color: #e7eaee; text-align: center; z-index: 1; }
.imported { grid-area: 1 / 1; place-self: start; margin: 10px; padding: 3px 10px; border-radius: 6px; background: #8a5300; color: #fff; font-weight: 600;
  font-size: 13px; z-index: 1; }
.veil.bad { background: #4b1512; }
.grid:fullscreen { background: #0a0c10; grid-template-columns: minmax(0, 1fr); gap: 0; }
.grid:fullscreen .side { display: none; }
.grid:fullscreen .box { border-radius: 0; border: 0; }
.grid:fullscreen .stage { max-height: none; aspect-ratio: auto; min-height: 0; }
.time { position: relative; height: 46px; padding: 0 12px; background: var(--p-surface); border-top: 1px solid var(--p-line); cursor: pointer; touch-action: none;
  color: var(--p-accent); column-rule-color: var(--p-muted); caret-color: var(--p-warn); }
.time canvas { width: 100%; height: 100%; display: block; }
.time:focus-visible { outline: 2px solid var(--p-accent); outline-offset: -3px; border-radius: 4px; }
.preview { position: absolute; bottom: 50px; width: 176px; padding: 4px; border-radius: 8px; background: #10141a; color: #e7eaee; border: 1px solid #39424e;
  text-align: center; font-size: 12px; pointer-events: none; z-index: 3; box-shadow: 0 6px 20px rgb(0 0 0 / 35%); }
.preview canvas { width: 168px; height: auto; display: block; border-radius: 4px; background: #000; }
.controls { display: flex; flex-wrap: wrap; align-items: center; gap: 4px; padding: 6px 10px 8px; border-top: 1px solid var(--p-line); }
.controls .clock { font-variant-numeric: tabular-nums; margin: 0 8px; white-space: nowrap; }
.controls .clock span { color: var(--p-muted); }
.space { flex: 1; }
button, select { font: inherit; color: inherit; background: transparent; border: 1px solid transparent; border-radius: 7px; min-height: 34px; min-width: 34px;
  padding: 0 8px; cursor: pointer; display: inline-flex; align-items: center; justify-content: center; gap: 6px; }
input.volume { width: 72px; min-height: 0; padding: 0; accent-color: currentColor; }
select { border-color: var(--p-line); background: var(--p-surface); }
select.which { max-width: 140px; }
button:hover:not(:disabled) { background: var(--p-raised); }
button:disabled { opacity: .45; cursor: default; }
button[aria-pressed="true"] { background: var(--p-accent-soft); color: var(--p-accent); }
button.play { background: var(--p-accent); color: var(--accent-text, #fff); min-width: 44px; }
button.play:hover { background: color-mix(in oklab, var(--p-accent), var(--p-text) 15%); }
button.outlined { border-color: var(--p-line); }
:focus-visible { outline: 2px solid var(--p-accent); outline-offset: 1px; }
.icon { width: 18px; height: 18px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; flex: none; }
button.live { color: var(--p-muted); border-color: var(--p-line); font-weight: 600; }
button.live::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: currentColor; }
button.live[aria-pressed="true"] { color: var(--p-bad); background: var(--p-bad-soft); border-color: transparent; }
.side { display: grid; grid-template-rows: auto minmax(240px, 1fr); gap: 16px; min-width: 0; min-height: 0; }
.panel { padding: 12px 14px; display: flex; flex-direction: column; min-height: 0; }
h2 { margin: 0 0 4px; font-size: 14px; font-weight: 600; display: flex; align-items: center; justify-content: space-between; min-height: 30px; }
ul { list-style: none; margin: 0; padding: 0; }
p { margin: 0; }
.verdict { display: grid; grid-template-columns: 24px 1fr; gap: 9px; padding: 6px 0; }
.verdict + .verdict { border-top: 1px solid var(--p-line); }
.mark { display: grid; place-items: center; width: 22px; height: 22px; border-radius: 50%; background: var(--p-raised); color: var(--p-muted); margin-top: 1px; }
.mark .icon { width: 13px; height: 13px; stroke-width: 2.8; }
.verdict strong { font-weight: 600; }
.verdict p { color: var(--p-muted); font-size: 12.5px; overflow-wrap: anywhere; }
.good .mark { background: var(--p-good-soft); color: var(--p-good); }
.warn .mark { background: var(--p-warn-soft); color: var(--p-warn); }
.bad .mark { background: var(--p-bad-soft); color: var(--p-bad); }
.good strong em { color: var(--p-good); } .warn strong em { color: var(--p-warn); } .bad strong em { color: var(--p-bad); }
strong em { font-style: normal; font-weight: 500; color: var(--p-muted); }
.search { position: relative; margin-bottom: 8px; }
.search input { width: 100%; font: inherit; color: inherit; background: var(--p-surface); border: 1px solid var(--p-line); border-radius: 7px; min-height: 34px; padding: 0 10px 0 32px; }
.search .icon { position: absolute; left: 9px; top: 8px; width: 17px; height: 17px; color: var(--p-muted); }
.events { flex: 1 1 0; overflow-y: auto; min-height: 160px; position: relative; margin: 0 -6px; contain: strict; }
.events ol { list-style: none; margin: 0; padding: 0; position: relative; }
.events li { position: absolute; left: 0; right: 0; height: 34px; }
.events button { width: 100%; height: 34px; justify-content: flex-start; text-align: left; padding: 0 8px; gap: 8px; border-radius: 6px; min-height: 0; }
.events .at { font-variant-numeric: tabular-nums; color: var(--p-muted); font-size: 12.5px; min-width: 52px; }
.events .what { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; flex: 1; min-width: 0; }
.events .keys .what { font-family: var(--mono, ui-monospace, monospace); font-size: 12.5px; white-space: pre; }
.events .icon { width: 15px; height: 15px; color: var(--p-muted); }
.events [aria-current="true"] { background: var(--p-accent-soft); box-shadow: inset 3px 0 0 var(--p-accent); }
.events mark { background: color-mix(in oklab, var(--p-warn), transparent 65%); color: inherit; border-radius: 2px; }
.none { color: var(--p-muted); padding: 8px; }
.warning { padding: 7px 14px; font-size: 13px; color: var(--p-warn); background: var(--p-warn-soft); }
.progress { display: flex; align-items: center; gap: 10px; padding: 8px 14px; border-top: 1px solid var(--p-line); }
.progress progress { flex: 1; accent-color: var(--p-accent); }
dialog { color: var(--p-text); background: var(--p-surface); border: 1px solid var(--p-line); border-radius: 12px; padding: 20px 24px; max-width: 460px; }
dialog::backdrop { background: rgb(0 0 0 / 45%); }
dialog dl { display: grid; grid-template-columns: auto 1fr; gap: 6px 18px; margin: 8px 0 14px; }
dialog dd { margin: 0; } kbd { font: 12px var(--mono, monospace); padding: 1px 7px; border: 1px solid var(--p-line); border-bottom-width: 2px; border-radius: 5px; white-space: nowrap; }
.logon { padding: 0 0 6px; } .logon button { width: 100%; } .logon p { margin: 3px 0 0; font-size: 12px; color: var(--p-muted); text-align: center; }
.logon:not(:has(button:not([hidden]))) { display: none; }
.remark { margin: 0; padding: 2px 14px 6px; font-size: 12px; color: var(--p-muted); }
.quietly { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@container (max-width: 900px) {
  .grid { grid-template-columns: minmax(0, 1fr); }
  .side { grid-template-rows: auto 320px; }
}
`;

export function playerSheet(): CSSStyleSheet {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  return sheet;
}
