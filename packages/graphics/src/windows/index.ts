export { windowsBackground } from './compose-windows.ts';
export { type RemoteWindow, RemoteWindows, type RemoteWindowsSnapshot } from './remote-windows.ts';
export { WindowOrderScan } from './window-order-scan.ts';
export {
  DesktopOrderFlag,
  type WindowFields,
  type WindowOrder,
  WindowOrderFlag,
  windowOrder,
  windowOrderOf,
  windowTitle,
} from './window-orders.ts';
