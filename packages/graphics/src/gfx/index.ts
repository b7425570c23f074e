export { type GfxKind, gfxBodies, gfxCapset, gfxCmdId, gfxCodecId } from './bodies.ts';
export { type GfxBody, type GfxPdu, gfxPdu, takeGfxCommand } from './gfx-pdu.ts';
export { GraphicsPipeline, type GraphicsPipelineOptions, type GraphicsPipelineSnapshot } from './graphics-pipeline.ts';
export { type GfxPoint16, type GfxRect16, pixelFormatArgb8888, pixelFormatXrgb8888 } from './structures.ts';
