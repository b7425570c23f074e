/*
 * FreeRDP's codecs as a filter: commands on standard input, what they came to on standard output. Tests hold the project's decoders
 * to it, and let its encoders make their input.
 *
 *   command   u8 operation, u32le a, b, c, u32le length, bytes
 *   answer    i32le status (of a decoder 0 or less: refused), u32le length, bytes
 *
 * Pictures are RGBA rows, top-down. Decoders draw on a canvas of black that lasts until the next reset.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <freerdp/codec/bulk.h>
#include <freerdp/codec/clear.h>
#include <freerdp/codec/color.h>
#include <freerdp/codec/interleaved.h>
#include <freerdp/codec/mppc.h>
#include <freerdp/codec/ncrush.h>
#include <freerdp/codec/nsc.h>
#include <freerdp/codec/planar.h>
#include <freerdp/codec/progressive.h>
#include <freerdp/codec/region.h>
#include <freerdp/codec/rfx.h>
#include <freerdp/codec/xcrush.h>
#include <freerdp/codec/zgfx.h>
#include <winpr/stream.h>
#include <winpr/wlog.h>

enum {
  RESET = 0,
  MPPC_DECODE,
  NCRUSH_DECODE,
  XCRUSH_DECODE,
  ZGFX_DECODE,
  MPPC_ENCODE,
  NCRUSH_ENCODE,
  XCRUSH_ENCODE,
  ZGFX_ENCODE,
  PLANAR_DECODE,
  PLANAR_ENCODE,
  INTERLEAVED_DECODE,
  INTERLEAVED_ENCODE,
  NSC_DECODE,
  NSC_ENCODE,
  RFX_DECODE,
  RFX_ENCODE,
  PROGRESSIVE_DECODE,
  PROGRESSIVE_ENCODE,
  CLEAR_DECODE
};

enum { SURFACE = 1, BYTES_MAX = 16 << 20 };

static MPPC_CONTEXT *mppc, *mppc_sender;
static NCRUSH_CONTEXT *ncrush, *ncrush_sender;
static XCRUSH_CONTEXT *xcrush, *xcrush_sender;
static ZGFX_CONTEXT *zgfx, *zgfx_sender;
static RFX_CONTEXT *rfx, *rfx_sender;
static PROGRESSIVE_CONTEXT *progressive, *progressive_sender;
static CLEAR_CONTEXT *clear_codec;
static uint8_t *canvas;
static uint32_t canvas_width, canvas_height, frame_id;

static void reset(void) {
  if (mppc) mppc_context_free(mppc);
  if (mppc_sender) mppc_context_free(mppc_sender);
  if (ncrush) ncrush_context_free(ncrush);
  if (ncrush_sender) ncrush_context_free(ncrush_sender);
  if (xcrush) xcrush_context_free(xcrush);
  if (xcrush_sender) xcrush_context_free(xcrush_sender);
  if (zgfx) zgfx_context_free(zgfx);
  if (zgfx_sender) zgfx_context_free(zgfx_sender);
  if (rfx) rfx_context_free(rfx);
  if (rfx_sender) rfx_context_free(rfx_sender);
  if (progressive) progressive_context_free(progressive);
  if (progressive_sender) progressive_context_free(progressive_sender);
  if (clear_codec) clear_context_free(clear_codec);
  mppc = mppc_sender = NULL;
  ncrush = ncrush_sender = NULL;
  xcrush = xcrush_sender = NULL;
  zgfx = zgfx_sender = NULL;
  rfx = rfx_sender = NULL;
  progressive = progressive_sender = NULL;
  clear_codec = NULL;
  free(canvas);
  canvas = NULL;
  canvas_width = canvas_height = frame_id = 0;
}

static void use_canvas(uint32_t width, uint32_t height) {
  if (canvas && canvas_width == width && canvas_height == height) return;
  free(canvas);
  /* Decoders that work in whole tiles may write a little beyond. */
  canvas = calloc((size_t)width * height + 64 * 64, 4);
  for (size_t i = 0; i < (size_t)width * height; i++) canvas[i * 4 + 3] = 255;
  canvas_width = width;
  canvas_height = height;
}

static void answer(int32_t status, const void *bytes, uint32_t length) {
  fwrite(&status, 4, 1, stdout);
  fwrite(&length, 4, 1, stdout);
  if (length) fwrite(bytes, 1, length, stdout);
  fflush(stdout);
}

static void answer_canvas(int32_t status) {
  answer(status, canvas, canvas_width * canvas_height * 4);
}

static void run(uint8_t operation, uint32_t a, uint32_t b, uint32_t c, uint8_t *bytes, uint32_t length) {
  static uint8_t room[4 << 20];
  BYTE *out = NULL;
  UINT32 out_length = 0;
  UINT32 flags = 0;
  int status = 0;
  switch (operation) {
    case RESET:
      reset();
      answer(0, NULL, 0);
      return;
    case MPPC_DECODE:
      if (!mppc) mppc = mppc_context_new(a, FALSE);
      status = mppc_decompress(mppc, bytes, length, &out, &out_length, b);
      break;
    case NCRUSH_DECODE:
      if (!ncrush) ncrush = ncrush_context_new(FALSE);
      status = ncrush_decompress(ncrush, bytes, length, &out, &out_length, b);
      break;
    case XCRUSH_DECODE:
      if (!xcrush) xcrush = xcrush_context_new(FALSE);
      status = xcrush_decompress(xcrush, bytes, length, &out, &out_length, b);
      break;
    case ZGFX_DECODE:
      if (!zgfx) zgfx = zgfx_context_new(FALSE);
      status = zgfx_decompress(zgfx, bytes, length, &out, &out_length, 0) < 0 ? -1 : 1;
      answer(status, out, status > 0 ? out_length : 0);
      if (status > 0) free(out);
      return;
    case MPPC_ENCODE:
    case NCRUSH_ENCODE:
    case XCRUSH_ENCODE:
      out = room;
      out_length = sizeof room;
      if (operation == MPPC_ENCODE) {
        if (!mppc_sender) mppc_sender = mppc_context_new(a, TRUE);
        status = mppc_compress(mppc_sender, bytes, length, &out, &out_length, &flags);
      } else if (operation == NCRUSH_ENCODE) {
        if (!ncrush_sender) ncrush_sender = ncrush_context_new(TRUE);
        status = ncrush_compress(ncrush_sender, bytes, length, &out, &out_length, &flags);
      } else {
        if (!xcrush_sender) xcrush_sender = xcrush_context_new(TRUE);
        status = xcrush_compress(xcrush_sender, bytes, length, &out, &out_length, &flags);
      }
      /* What did not get shorter goes out as it is, with the flags the compressor set. */
      if (!(flags & PACKET_COMPRESSED)) {
        out = bytes;
        out_length = length;
      }
      answer(status < 0 ? status : (int32_t)flags, out, status < 0 ? 0 : out_length);
      return;
    case ZGFX_ENCODE: {
      if (!zgfx_sender) zgfx_sender = zgfx_context_new(TRUE);
      wStream *stream = Stream_New(NULL, length + 1024);
      status = zgfx_compress_to_stream(zgfx_sender, stream, bytes, length, &flags);
      answer(status, Stream_Buffer(stream), (uint32_t)Stream_GetPosition(stream));
      Stream_Free(stream, TRUE);
      return;
    }
    case PLANAR_DECODE: {
      BITMAP_PLANAR_CONTEXT *planar = freerdp_bitmap_planar_context_new(0, a, b);
      use_canvas(a, b);
      status = planar_decompress(planar, bytes, length, a, b, canvas, PIXEL_FORMAT_RGBA32, a * 4, 0, 0, a, b, c != 0);
      freerdp_bitmap_planar_context_free(planar);
      answer_canvas(status);
      return;
    }
    case PLANAR_ENCODE: {
      BITMAP_PLANAR_CONTEXT *planar = freerdp_bitmap_planar_context_new(c, a, b);
      out = freerdp_bitmap_compress_planar(planar, bytes, PIXEL_FORMAT_RGBA32, a, b, a * 4, NULL, &out_length);
      answer(out ? 1 : -1, out, out ? out_length : 0);
      free(out);
      freerdp_bitmap_planar_context_free(planar);
      return;
    }
    case INTERLEAVED_DECODE: {
      BITMAP_INTERLEAVED_CONTEXT *interleaved = bitmap_interleaved_context_new(FALSE);
      gdiPalette palette = { PIXEL_FORMAT_RGBA32, { 0 } };
      for (uint32_t i = 0; i < 256; i++)
        palette.palette[i] = FreeRDPGetColor(PIXEL_FORMAT_RGBA32, i, (i * 7) & 255, (i * 13) & 255, 255);
      use_canvas(a, b);
      status = interleaved_decompress(interleaved, bytes, length, a, b, c, canvas, PIXEL_FORMAT_RGBX32, a * 4, 0, 0, a, b,
                                      &palette);
      bitmap_interleaved_context_free(interleaved);
      answer_canvas(status);
      return;
    }
    case INTERLEAVED_ENCODE: {
      BITMAP_INTERLEAVED_CONTEXT *interleaved = bitmap_interleaved_context_new(TRUE);
      out_length = sizeof room;
      status = interleaved_compress(interleaved, room, &out_length, a, b, bytes, PIXEL_FORMAT_RGBX32, a * 4, 0, 0, NULL, c);
      bitmap_interleaved_context_free(interleaved);
      answer(status, room, status ? out_length : 0);
      return;
    }
    case NSC_DECODE: {
      NSC_CONTEXT *nsc = nsc_context_new();
      use_canvas(a, b);
      status = nsc_process_message(nsc, 32, a, b, bytes, length, canvas, PIXEL_FORMAT_RGBX32, a * 4, 0, 0, a, b, c);
      nsc_context_free(nsc);
      answer_canvas(status);
      return;
    }
    case NSC_ENCODE: {
      NSC_CONTEXT *nsc = nsc_context_new();
      wStream *stream = Stream_New(NULL, 4 << 20);
      nsc_context_set_parameters(nsc, NSC_COLOR_FORMAT, PIXEL_FORMAT_RGBA32);
      nsc_context_set_parameters(nsc, NSC_COLOR_LOSS_LEVEL, c & 7);
      nsc_context_set_parameters(nsc, NSC_ALLOW_SUBSAMPLING, (c >> 3) & 1);
      nsc_context_set_parameters(nsc, NSC_DYNAMIC_COLOR_FIDELITY, (c >> 4) & 1);
      status = nsc_compose_message(nsc, stream, bytes, a, b, a * 4);
      answer(status, Stream_Buffer(stream), (uint32_t)Stream_GetPosition(stream));
      Stream_Free(stream, TRUE);
      nsc_context_free(nsc);
      return;
    }
    case RFX_DECODE: {
      REGION16 region;
      region16_init(&region);
      if (!rfx) {
        rfx = rfx_context_new(FALSE);
        rfx_context_reset(rfx, a, b);
      }
      use_canvas(a, b);
      status = rfx_process_message(rfx, bytes, length, 0, 0, canvas, PIXEL_FORMAT_RGBX32, a * 4, b, &region);
      region16_uninit(&region);
      answer_canvas(status);
      return;
    }
    case RFX_ENCODE: {
      RFX_RECT rect = { 0, 0, (UINT16)a, (UINT16)b };
      wStream *stream = Stream_New(NULL, 4 << 20);
      if (!rfx_sender) {
        rfx_sender = rfx_context_new(TRUE);
        rfx_sender->mode = c ? RLGR3 : RLGR1;
        rfx_context_reset(rfx_sender, a, b);
        rfx_context_set_pixel_format(rfx_sender, PIXEL_FORMAT_RGBA32);
      }
      status = rfx_compose_message(rfx_sender, stream, &rect, 1, bytes, a, b, a * 4);
      answer(status, Stream_Buffer(stream), (uint32_t)Stream_GetPosition(stream));
      Stream_Free(stream, TRUE);
      return;
    }
    case PROGRESSIVE_DECODE: {
      REGION16 region;
      region16_init(&region);
      if (!progressive) {
        progressive = progressive_context_new(FALSE);
        progressive_create_surface_context(progressive, SURFACE, a, b);
      }
      use_canvas(a, b);
      status = progressive_decompress_ex(progressive, bytes, length, canvas, PIXEL_FORMAT_RGBX32, a * 4, 0, 0, &region, SURFACE,
                                         ++frame_id);
      region16_uninit(&region);
      answer_canvas(status);
      return;
    }
    case PROGRESSIVE_ENCODE: {
      REGION16 region;
      RECTANGLE_16 all = { 0, 0, (UINT16)a, (UINT16)b };
      region16_init(&region);
      region16_union_rect(&region, &region, &all);
      if (!progressive_sender) {
        progressive_sender = progressive_context_new(TRUE);
        progressive_context_reset(progressive_sender);
      }
      status = progressive_compress_ex(progressive_sender, bytes, length, PIXEL_FORMAT_RGBX32, a, b, a * 4, &region, &out,
                                       &out_length);
      region16_uninit(&region);
      answer(status, out, status > 0 ? out_length : 0);
      return;
    }
    case CLEAR_DECODE:
      if (!clear_codec) clear_codec = clear_context_new(FALSE);
      use_canvas(a, b);
      status = clear_decompress(clear_codec, bytes, length, a, b, canvas, PIXEL_FORMAT_RGBX32, a * 4, 0, 0, a, b, NULL);
      answer_canvas(status < 0 ? -1 : 1);
      return;
    default:
      answer(-1, NULL, 0);
      return;
  }
  answer(status, out, status > 0 ? out_length : 0);
}

static int read_exactly(void *to, size_t length) {
  return fread(to, 1, length, stdin) == length;
}

int main(void) {
  uint8_t operation;
  uint32_t head[4];
  WLog_SetLogLevel(WLog_GetRoot(), WLOG_OFF);
  while (read_exactly(&operation, 1) && read_exactly(head, sizeof head)) {
    if (head[3] > BYTES_MAX) return 2;
    /* Room behind, zeroed: some decoders look ahead. */
    uint8_t *bytes = calloc(1, (size_t)head[3] + 64);
    if (!read_exactly(bytes, head[3])) return 2;
    run(operation, head[0], head[1], head[2], bytes, head[3]);
    free(bytes);
  }
  return 0;
}
