export type { DiagnoseOptions } from './diagnose.js'
export { diagnose } from './diagnose.js'
export type { DiagnosisPageOptions } from './page.js'
export { renderDiagnosis, writeDiagnosis } from './page.js'
export type {
  ClassDiagnosis,
  Diagnosis,
  Finding,
  FindingKind,
  LayerDiagnosis,
  NormDistribution,
  OutputDiagnosis,
} from './result.js'
export { diagnosisThresholds } from './result.js'
export { diagnosisText } from './text.js'
