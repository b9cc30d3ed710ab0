/** Files of this device as the server takes them. */

const RATE = 16_000;
/** Samples a second, which models of speech read. */
const HEADER = 44;
const SMALLER = 0.8;

/**
 * An image that the server does not read, or that is too large for it, as one that it does.
 *
 * @param {Blob} blob
 * @param {number} most bytes
 * @returns {Promise<{blob: Blob, width: number, height: number}>}
 */
export async function asJpeg(blob, most) {
  const bitmap = await createImageBitmap(blob);
  let scale = Math.min(1, Math.sqrt(40e6 / bitmap.width / bitmap.height));
  for (;;) {
    const canvas = new OffscreenCanvas(
      Math.max(1, Math.round(bitmap.width * scale)),
      Math.max(1, Math.round(bitmap.height * scale)),
    );
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const made = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
    if (made.size <= most || canvas.width < 64) {
      bitmap.close();
      return { blob: made, width: canvas.width, height: canvas.height };
    }
    scale *= SMALLER;
  }
}

/** Any recording that the browser reads, as WAV of one channel with 16 bits. @param {Blob} blob @returns {Promise<Blob>} */
export async function asWav(blob) {
  const recording = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
  const channels = Array.from({ length: recording.numberOfChannels }, (_, number) => recording.getChannelData(number));
  const samples = new Int16Array(recording.length);
  for (let place = 0; place < samples.length; place += 1) {
    let sum = 0;
    for (const channel of channels) sum += channel[place];
    samples[place] = Math.max(-1, Math.min(1, sum / channels.length)) * 32767;
  }
  return new Blob([header(samples.byteLength), samples], { type: "audio/wav" });
}

/** Source: http://soundfile.sapp.org/doc/WaveFormat/ @param {number} bytes of the samples */
function header(bytes) {
  const view = new DataView(new ArrayBuffer(HEADER));
  const write = (place, text) =>
    [...text].forEach((character, number) => view.setUint8(place + number, character.charCodeAt(0)));
  write(0, "RIFF");
  view.setUint32(4, HEADER - 8 + bytes, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // samples as they are
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  write(36, "data");
  view.setUint32(40, bytes, true);
  return view.buffer;
}
