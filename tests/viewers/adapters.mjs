// Reads a SEG and a report as OHIF's libraries do, dcmjs and the Cornerstone adapters, without a browser.
//
//     echo '{"ct": [FILE, ...], "seg": FILE, "sr": FILE}' | node adapters.mjs > read.json
//
// "voxels" has the pixel indices and labels that are set on every CT instance, "segments" what the SEG says of each,
// "measurements" what the report's groups became, by tool; the ends of axes in the patient (LPS, mm).

import { webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { register } from 'node:module';

// What a browser, and Node.js after 18, has of itself.
globalThis.crypto ??= webcrypto;
globalThis.CustomEvent ??= class extends Event {
  constructor(type, options) {
    super(type, options);
    this.detail = options?.detail;
  }
};
register('./modules.mjs', import.meta.url);
const { adaptersSEG, adaptersSR } = await import('@cornerstonejs/adapters');
const { metaData } = await import('@cornerstonejs/core');
const { default: dcmjs } = await import('dcmjs');

const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
dcmjs.log.setLevel('error');

const asked = JSON.parse(readFileSync(0, 'utf8'));
const instances = new Map(asked.ct.map(path => ['ct:' + path, dataset(path)]));
const imageIds = [...instances.keys()];
const provider = { get: metadata, addCustomMetadata: (id, type, value) => instances.set(id, value) };
metaData.addProvider(metadata, 1);

function bytes(path) {
  const file = readFileSync(path);
  return file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength);
}

function dataset(path) {
  const read = DicomMessage.readFile(bytes(path));
  const natural = DicomMetaDictionary.naturalizeDataset(read.dict);
  natural._meta = DicomMetaDictionary.namifyDataset(read.meta);
  return natural;
}

/** What Cornerstone asks of an image, from its header. */
function metadata(type, imageId) {
  const header = instances.get(imageId);
  if (!header) return undefined;
  if (type === 'instance') return header;
  if (type === 'generalImageModule') return { sopInstanceUID: header.SOPInstanceUID };
  if (type === 'generalSeriesModule') return { seriesInstanceUID: header.SeriesInstanceUID, modality: header.Modality };
  if (type === 'imagePlaneModule') return plane(header);
  if (type === 'imagePixelModule') return { pixelRepresentation: 0, bitsAllocated: 8, samplesPerPixel: 1 };
  return undefined;
}

function plane(header) {
  const [rowSpacing, columnSpacing] = header.PixelSpacing.map(Number);
  const orientation = header.ImageOrientationPatient.map(Number);
  return {
    frameOfReferenceUID: header.FrameOfReferenceUID,
    rows: header.Rows,
    columns: header.Columns,
    imageOrientationPatient: orientation,
    rowCosines: orientation.slice(0, 3),
    columnCosines: orientation.slice(3),
    imagePositionPatient: header.ImagePositionPatient.map(Number),
    pixelSpacing: [rowSpacing, columnSpacing],
    rowPixelSpacing: rowSpacing,
    columnPixelSpacing: columnSpacing,
  };
}

async function segmentation() {
  const { Segmentation } = adaptersSEG.Cornerstone3D;
  const read = await Segmentation.createFromDICOMSegBuffer(imageIds, bytes(asked.seg), { metadataProvider: provider });
  const voxels = {};
  for (const labelmap of read.labelMapImages.flat()) {
    const labels = labelmap.voxelManager.getScalarData();
    const set = [...labels.keys()].filter(index => labels[index]).map(index => [index, labels[index]]);
    voxels[metadata('instance', labelmap.referencedImageId).SOPInstanceUID] = set;
  }
  return { voxels, segments: read.segMetadata.data.filter(Boolean), overlap: read.overlappingSegments };
}

function report() {
  const { MeasurementReport } = adaptersSR.Cornerstone3D;
  const byInstance = Object.fromEntries([...instances].map(([id, header]) => [`${header.SOPInstanceUID}:1`, id]));
  const state = MeasurementReport.generateToolState(dataset(asked.sr), byInstance, metaData);
  const told = ({ annotation, TrackingUniqueIdentifier, sopInstanceUid }) => ({
    tracking_uid: TrackingUniqueIdentifier,
    instance: sopInstanceUid,
    points_lps: annotation.data.handles.points,
    values: Object.values(annotation.data.cachedStats)[0],
  });
  return Object.fromEntries(Object.entries(state).map(([tool, found]) => [tool, found.map(told)]));
}

console.warn = console.log = console.info = () => {};
const read = { ...(await segmentation()), measurements: report() };
process.stdout.write(JSON.stringify(read));
