#include "system.h"

#include "krylov/probes.h"
#include "krylov/rng.h"
#include "krylov/system.h"
#include "krylov/threads.h"
#include "specs.h"
#include "values.h"

namespace krylov::binding {

namespace {

constexpr Isa kSets[] = {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};

}  // namespace

void check_requested_isa() {
  const IsaChoice& choice = isa_choice();
  if (choice.request != IsaRequest::kUnknown) return;
  std::string names;
  for (const Isa isa : kSets) names += (names.empty() ? "one of " : ", ") + std::string(isa_name(isa));
  fail(ErrorCode::kOption, "KRYLOV_ISA", names, "'" + choice.requested.substr(0, 60) + "'");
}

Napi::Value system_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const IsaChoice& choice = isa_choice();
  const SystemInfo system = krylov::system_info(choice.isa);
  const Isa best = detect_best_isa();
  auto available = Napi::Array::New(env);
  for (const Isa isa : kSets) {
    if (choose_isa(isa_name(isa), best).request == IsaRequest::kGranted) {
      available.Set(available.Length(), isa_name(isa));
    }
  }
  const std::string notice = choice.request == IsaRequest::kUnavailable
                                 ? "KRYLOV_ISA asks for " + choice.requested + ", which this processor lacks"
                                 : "";
  auto result = Napi::Object::New(env);
  result.Set("instructionSet", system.instruction_set);
  result.Set("availableInstructionSets", available);
  result.Set("isaNotice", notice);
  result.Set("processor", system.processor);
  result.Set("onlineProcessors", system.online_processors);
  result.Set("availableProcessors", system.available_processors);
  result.Set("defaultThreads", std::min(system.available_processors, Team::kMaxThreads));
  result.Set("openmp", system.openmp == 0 ? "none" : std::to_string(system.openmp));
  result.Set("compiler", system.compiler);
  return result;
}

Napi::Value schedule_value(const Napi::CallbackInfo& info) {
  const ScheduleSpec schedule = read_schedule(info[0], "schedule");
  const std::int64_t t = integer(info[1], "t", 0);
  return Napi::Number::New(info.Env(), krylov::schedule_value(schedule, t));
}

Napi::Value permutation(const Napi::CallbackInfo& info) {
  const std::uint64_t seed = read_seed(info[0], "seed");
  const std::int64_t epoch = integer(info[1], "epoch", 0);
  const std::int64_t count = integer(info[2], "count", 0, (std::int64_t(1) << 32) - 1);
  Napi::Value array;
  const auto out = make_array<std::uint32_t>(info.Env(), static_cast<std::size_t>(count), array);
  krylov::permutation(seed, Stream::kSplit, static_cast<std::uint64_t>(epoch), out);
  return array;
}

Napi::Value measure_peak(const Napi::CallbackInfo& info) {
  constexpr double kLongest = 60'000;
  const Fields fields(info[0], "options");
  const int threads = read_threads(fields.get("threads"), fields.at("threads"));
  const DType type = dtype(fields.get("dtype"), fields.at("dtype"));
  const double milliseconds = fields.number("milliseconds", 1);
  if (milliseconds > kLongest) {
    fail(ErrorCode::kOption, fields.at("milliseconds"), "a number from 1 to 60000", std::to_string(milliseconds));
  }
  auto result = Napi::Object::New(info.Env());
  result.Set("gflops", krylov::measure_peak(threads, type, milliseconds));
  return result;
}

Napi::Value measure_bandwidth(const Napi::CallbackInfo& info) {
  const Fields fields(info[0], "options");
  const int threads = read_threads(fields.get("threads"), fields.at("threads"));
  const std::int64_t megabytes = fields.integer("megabytes", 1, std::int64_t(1) << 16);
  const Bandwidth bandwidth = krylov::measure_bandwidth(threads, megabytes);
  auto result = Napi::Object::New(info.Env());
  result.Set("readGBs", bandwidth.read);
  result.Set("writeGBs", bandwidth.write);
  return result;
}

}  // namespace krylov::binding
