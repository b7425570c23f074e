import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Overlay } from '../src/pipeline/overlay.ts';
import { OwnFrames } from '../src/pipeline/own-frames.ts';
import { PipelineView } from '../src/pipeline/pipeline-view.ts';

test('a server that makes every surface there can be costs no search of them behind each of its PDUs', () => {
  const view = new PipelineView();
  view.main = { left: 0, top: 0, width: 640, height: 480 };
  for (let id = 0; id <= 0xffff; id += 1) view.surfaces.set(id, { width: 1, height: 1, shown: null });
  let looked = 0;
  const has = view.surfaces.has.bind(view.surfaces);
  view.surfaces.has = (id) => {
    looked += 1;
    return has(id);
  };
  const overlay = new Overlay(view, new OwnFrames());
  overlay.show({ width: 64, height: 64, tiles: [] });
  for (let pdus = 0; pdus < 10; pdus += 1) assert.equal(overlay.due(), null);
  assert.ok(looked < 10_000, `${looked} looks`);
  view.surfaces.clear();
  assert.notEqual(overlay.due(), null, 'it is shown when there is room again');
});
