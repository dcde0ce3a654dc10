// Products of a matrix with few rows of inputs: weights, or the keys and values of a cache. The matrix is read once, as
// it lies in memory, which is what processors fetch ahead best; `gemv.py` says where that pays and builds this file.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

namespace {

using OptionalTensor = std::optional<at::Tensor>;

constexpr int64_t kBytesATask = 1 << 15;  // fewer are not worth another thread
constexpr int kBlock = 16;                // outputs whose 8-bit weights lie together
constexpr int kTile = 8;                  // rows that are multiplied at a time, so that their sums stay in registers
constexpr float kSmallest = 1e-12f;
constexpr float kLowest = -std::numeric_limits<float>::infinity();

// How many things of so many bytes a thread should take at least.
inline int64_t tasks_of(int64_t bytes) { return std::max<int64_t>(1, kBytesATask / std::max<int64_t>(1, bytes)); }

at::Tensor outputs_for(const at::Tensor& rows, int64_t outputs) {
  auto sizes = rows.sizes().vec();
  sizes.back() = outputs;
  return at::empty(sizes, rows.options());
}

template <typename Weight>
inline float dot(const Weight* weights, const float* inputs, int64_t width) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < width; ++i) sum += static_cast<float>(weights[i]) * inputs[i];
  return sum;
}

// e to the power of numbers of at most 0, to a unit in the last place or two, in steps that compilers can take for many
// numbers at a time: 2^n by its bits, times what is left by a polynomial.
inline float exp_of_negative(float x) {
  constexpr float kLeast = -87.0f;  // below, numbers would lose their digits
  const float bounded = x < kLeast ? kLeast : x;
  const float whole = std::nearbyint(bounded * 1.44269504f);
  const float left = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;  // of ln 2 in two parts
  float power = 1.0f / 5040;
  for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    power = power * left + factor;
  }
  return power * std::bit_cast<float>((static_cast<int32_t>(whole) + 127) << 23);
}

// Calls write(row, output, sum) with sum = rows[row] . weight[output].
template <typename Weight, typename Write>
void multiply(const float* rows, const Weight* weight, int64_t count, int64_t width, int64_t outputs, Write write) {
  at::parallel_for(0, outputs, tasks_of(width * sizeof(Weight)), [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end; ++output) {
      const Weight* const weights = weight + output * width;
      for (int64_t row = 0; row < count; ++row) {
        write(row, output, dot(weights, rows + row * width, width));
      }
    }
  });
}

template <typename Number>
at::Tensor multiply_floats(const at::Tensor& rows, const at::Tensor& weight, const OptionalTensor& bias) {
  const int64_t width = weight.size(1), outputs = weight.size(0), count = rows.numel() / width;
  const auto inputs = rows.to(at::kFloat).contiguous();
  auto result = outputs_for(rows, outputs);
  const Number* const added = bias ? bias->const_data_ptr<Number>() : nullptr;
  Number* const to = result.mutable_data_ptr<Number>();
  multiply(inputs.const_data_ptr<float>(), weight.const_data_ptr<Number>(), count, width, outputs,
           [=](int64_t row, int64_t output, float sum) {
             to[row * outputs + output] = sum + (added ? static_cast<float>(added[output]) : 0.0f);
           });
  return result;
}

// rows (..., i), weight (o, i), bias (o), all fp32 or all bf16, to (..., o).
at::Tensor gemv(const at::Tensor& rows, const at::Tensor& weight, const OptionalTensor& bias) {
  if (weight.scalar_type() == at::kBFloat16) return multiply_floats<at::BFloat16>(rows, weight, bias);
  return multiply_floats<float>(rows, weight, bias);
}

// For each output of a block, the sum of products of four inputs, unsigned, with four weights.
struct Sums {
#if defined(__AVX512VNNI__)
  __m512i sums = _mm512_setzero_si512();
  void add(int32_t inputs, const int8_t* weights) {
    sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(inputs), _mm512_loadu_si512(weights));
  }
#elif defined(__AVX2__) && !defined(EIGHT_BITS)  // sums of two products of 8 bits each may not fit
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  void add(int32_t inputs, const int8_t* weights) {
    for (int half = 0; half < 2; ++half) {
      const auto eight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights) + half);
      const auto pairs = _mm256_maddubs_epi16(_mm256_set1_epi32(inputs), eight);
      sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
  }
#else
  int32_t sums[kBlock] = {};
  void add(int32_t inputs, const int8_t* weights) {
    uint8_t each[4];
    std::memcpy(each, &inputs, sizeof each);
    for (int output = 0; output < kBlock; ++output) {
      for (int i = 0; i < 4; ++i) sums[output] += each[i] * weights[4 * output + i];
    }
  }
#endif
};

// Calls write(row, sums) with the sums of a block of outputs, for all rows, tiles of `Rows` first.
template <int Rows, typename Write>
inline void multiply_block(const uint8_t* inputs, int64_t row, int64_t count, int64_t width, const int8_t* weights,
                           const Write& write) {
  for (; row + Rows <= count; row += Rows) {
    const uint8_t* const from = inputs + row * width;
    Sums sums[Rows];
    for (int64_t i = 0; i < width; i += 4) {
#pragma GCC unroll 8
      for (int each = 0; each < Rows; ++each) {
        int32_t four;
        std::memcpy(&four, from + each * width + i, sizeof four);
        sums[each].add(four, weights + kBlock * i);
      }
    }
    for (int each = 0; each < Rows; ++each) {
      int32_t found[kBlock];
      std::memcpy(found, &sums[each], sizeof found);
      write(row + each, found);
    }
  }
  if constexpr (Rows > 1) {
    if (row < count) multiply_block<Rows - 1>(inputs, row, count, width, weights, write);
  }
}

// Rounds numbers to -levels..levels by the largest, and lifts them above 0, as instructions want them. Returns the
// largest, or what is not finite if a number is not: its outputs shall not be finite either.
inline float round_to(uint8_t* rounded, const float* numbers, int64_t width, float levels) {
  float most = kSmallest, broken = 0;
#pragma omp simd reduction(max : most) reduction(+ : broken)
  for (int64_t i = 0; i < width; ++i) {
    most = std::max(most, std::abs(numbers[i]));
    broken += numbers[i] * 0.0f;  // not a number, or 0
  }
  const float scale = std::isfinite(most + broken) ? levels / most : 0.0f;
  const int32_t offset = static_cast<int32_t>(levels) + 1;
  for (int64_t i = 0; scale > 0 && i < width; ++i) {
    rounded[i] = static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(numbers[i] * scale)) + offset);
  }
  return most + broken;
}

// rows (..., i) fp32, rounded to -levels..levels by the largest of each; weight (o / 16, i / 4, 16, 4) int8, with zeros
// to fill it; sums (o) int32, of the weights of an output; scales (o) and bias (o) fp32; to (..., o).
at::Tensor gemv_int8(const at::Tensor& rows, const at::Tensor& weight, const at::Tensor& sums,
                     const at::Tensor& scales, const OptionalTensor& bias, double levels) {
  const int64_t width = rows.size(-1), outputs = sums.size(0), filled = 4 * weight.size(1);
  const int64_t count = width ? rows.numel() / width : 0;
  const auto contiguous = rows.contiguous();
  const float* const values = contiguous.const_data_ptr<float>();
  const int32_t offset = static_cast<int32_t>(levels) + 1;
  std::vector<uint8_t> rounded(count * filled);
  std::vector<float> largest(count);
  at::parallel_for(0, count, tasks_of(filled), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      largest[row] = round_to(rounded.data() + row * filled, values + row * width, width, static_cast<float>(levels));
    }
  });
  auto result = outputs_for(rows, outputs);
  const int8_t* const weights = weight.const_data_ptr<int8_t>();
  const int32_t* const sums_of = sums.const_data_ptr<int32_t>();
  const float* const scale_of = scales.const_data_ptr<float>();
  const float* const bias_of = bias ? bias->const_data_ptr<float>() : nullptr;
  float* const to = result.mutable_data_ptr<float>();
  const int64_t bytes = kBlock * filled;
  at::parallel_for(0, weight.size(0), tasks_of(bytes), [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kBlock, here = std::min<int64_t>(kBlock, outputs - first);
      int32_t offsets[kBlock] = {};
      float factors[kBlock] = {}, added[kBlock] = {};
      for (int64_t i = 0; i < here; ++i) offsets[i] = offset * sums_of[first + i];
      std::copy_n(scale_of + first, here, factors);
      if (bias_of) std::copy_n(bias_of + first, here, added);
      const auto write = [&](int64_t row, const int32_t* found) {
        float products[kBlock];
        for (int i = 0; i < kBlock; ++i) {
          products[i] = static_cast<float>(found[i] - offsets[i]) * (factors[i] * largest[row]) + added[i];
        }
        std::copy_n(products, here, to + row * outputs + first);
      };
      multiply_block<kTile>(rounded.data(), 0, count, filled, weights + block * bytes, write);
    }
  });
  return result;
}

// As many numbers as a register holds.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
using Vector = float __attribute__((vector_size(4 * kLanes)));

inline Vector load(const float* from) {
  Vector loaded;
  std::memcpy(&loaded, from, sizeof loaded);
  return loaded;
}

inline Vector load(const at::BFloat16* from) {  // each the upper half of a float
  uint16_t halves[kLanes];
  uint32_t whole[kLanes];
  std::memcpy(halves, from, sizeof halves);
  for (int i = 0; i < kLanes; ++i) whole[i] = static_cast<uint32_t>(halves[i]) << 16;
  Vector loaded;
  std::memcpy(&loaded, whole, sizeof loaded);
  return loaded;
}

inline Vector plus_products(Vector sums, Vector a, Vector b) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, sums);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, sums);
#else
  return sums + a * b;
#endif
}

// a[0] + a[1], a[2] + a[3], ..., b[0] + b[1], ...
inline Vector plus_neighbours(Vector a, Vector b) {
#if defined(__AVX512F__)
  const auto even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const auto odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_ps(a, even, b) + _mm512_permutex2var_ps(a, odd, b);
#else
  Vector sums;
  for (int i = 0; i < kLanes / 2; ++i) {
    sums[i] = a[2 * i] + a[2 * i + 1];
    sums[kLanes / 2 + i] = b[2 * i] + b[2 * i + 1];
  }
  return sums;
#endif
}

// to[key] = keys[key] . query for keys one stride apart; the same sums however many keys there are.
template <int Keys, typename Number>
inline void score(const Number* keys, int64_t stride, const float* query, int64_t width, float* to) {
  Vector sums[Keys];
#pragma GCC unroll 8
  for (int key = 0; key < Keys; ++key) sums[key] = Vector{};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const auto asked = load(query + i);
#pragma GCC unroll 8
    for (int key = 0; key < Keys; ++key) sums[key] = plus_products(sums[key], load(keys + key * stride + i), asked);
  }
#pragma GCC unroll 8
  for (int lanes = kLanes, left = Keys; lanes > 1; lanes /= 2, left = (left + 1) / 2) {
#pragma GCC unroll 8
    for (int key = 0; key < left; key += 2) {
      sums[key / 2] = plus_neighbours(sums[key], sums[std::min(key + 1, left - 1)]);
    }
  }
  std::memcpy(to, &sums[0], Keys * sizeof(float));
  for (; i < width; ++i) {
    for (int key = 0; key < Keys; ++key) to[key] += static_cast<float>(keys[key * stride + i]) * query[i];
  }
}

// mixed[query] = sum over steps of scores[query][step] values[step], for some numbers of each value.
template <int Queries, int Vectors, typename Number>
inline void mix(const float* scores, const Number* values, int64_t stride, int64_t steps, int64_t width, float* mixed) {
  Vector sums[Queries * Vectors];
#pragma GCC unroll 16
  for (int each = 0; each < Queries * Vectors; ++each) sums[each] = Vector{};
  for (int64_t step = 0; step < steps; ++step) {
    Vector value[Vectors];
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) value[i] = load(values + step * stride + i * kLanes);
#pragma GCC unroll 4
    for (int query = 0; query < Queries; ++query) {
      const Vector weight = Vector{} + scores[query * steps + step];
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; ++i) {
        sums[query * Vectors + i] = plus_products(sums[query * Vectors + i], weight, value[i]);
      }
    }
  }
  for (int query = 0; query < Queries; ++query) {
    std::memcpy(mixed + query * width, &sums[query * Vectors], Vectors * sizeof(Vector));
  }
}

// The same for all numbers of each value, tiles of `Queries` first.
template <int Queries, typename Number>
inline void mix_all(const float* scores, const Number* values, int64_t stride, int64_t count, int64_t steps,
                    int64_t width, float* mixed) {
  constexpr int kVectors = 4;
  for (; count >= Queries; count -= Queries, scores += Queries * steps, mixed += Queries * width) {
    int64_t i = 0;
    for (; i + kVectors * kLanes <= width; i += kVectors * kLanes) {
      mix<Queries, kVectors>(scores, values + i, stride, steps, width, mixed + i);
    }
    for (; i + kLanes <= width; i += kLanes) mix<Queries, 1>(scores, values + i, stride, steps, width, mixed + i);
    for (; i < width; ++i) {
      for (int query = 0; query < Queries; ++query) {
        float sum = 0;
        for (int64_t step = 0; step < steps; ++step) {
          sum += scores[query * steps + step] * static_cast<float>(values[step * stride + i]);
        }
        mixed[query * width + i] = sum;
      }
    }
  }
  if constexpr (Queries > 1) {
    if (count) mix_all<Queries - 1>(scores, values, stride, count, steps, width, mixed);
  }
}

// One head: scores of m queries, already scaled, with t keys, their softmax, and the mixtures of values.
template <typename Number>
void attend(const float* queries, const Number* keys, const Number* values, int64_t key_stride, int64_t value_stride,
            const bool* visible, int64_t count, int64_t steps, int64_t width, float* scores, float* mixed) {
  int64_t step = 0;
  for (; step + kTile <= steps; step += kTile) {
    for (int64_t query = 0; query < count; ++query) {
      score<kTile>(keys + step * key_stride, key_stride, queries + query * width, width, scores + query * steps + step);
    }
  }
  for (; step < steps; ++step) {
    for (int64_t query = 0; query < count; ++query) {
      score<1>(keys + step * key_stride, key_stride, queries + query * width, width, scores + query * steps + step);
    }
  }
  for (int64_t query = 0; query < count; ++query) {
    float* const row = scores + query * steps;
    float most = kLowest, sum = 0;
    for (step = 0; visible && step < steps; ++step) {
      if (!visible[query * steps + step]) row[step] = kLowest;
    }
#pragma omp simd reduction(max : most)
    for (step = 0; step < steps; ++step) most = std::max(most, row[step]);
#pragma omp simd
    for (step = 0; step < steps; ++step) row[step] = exp_of_negative(row[step] - most);
#pragma omp simd reduction(+ : sum)
    for (step = 0; step < steps; ++step) sum += row[step];
#pragma omp simd
    for (step = 0; step < steps; ++step) row[step] /= sum;
  }
  mix_all<kLanes / 4>(scores, values, value_stride, count, steps, width, mixed);
}

template <typename Number>
at::Tensor attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                     const OptionalTensor& visible) {
  const int64_t batch = query.size(0), heads = query.size(1), count = query.size(2), width = query.size(3);
  const int64_t steps = keys.size(2);
  const Number* const from = query.const_data_ptr<Number>();
  const Number* const first_key = keys.const_data_ptr<Number>();
  const Number* const first_value = values.const_data_ptr<Number>();
  const auto mask = visible ? visible->contiguous() : at::Tensor();
  const bool* const seen = visible ? mask.const_data_ptr<bool>() : nullptr;
  auto result = at::empty({batch, count, heads, width}, query.options());
  Number* const to = result.mutable_data_ptr<Number>();
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  at::parallel_for(0, batch * heads, tasks_of(2 * steps * width * sizeof(Number)), [&](int64_t begin, int64_t end) {
    std::vector<float> queries(count * width), scores(count * steps), mixed(count * width);
    for (int64_t each = begin; each < end; ++each) {
      const int64_t image = each / heads, head = each % heads;
      const Number* const asked = from + image * query.stride(0) + head * query.stride(1);
      for (int64_t row = 0; row < count; ++row) {
        for (int64_t i = 0; i < width; ++i) {
          queries[row * width + i] = static_cast<float>(asked[row * query.stride(2) + i]) * scale;
        }
      }
      attend(queries.data(), first_key + image * keys.stride(0) + head * keys.stride(1),
             first_value + image * values.stride(0) + head * values.stride(1), keys.stride(2), values.stride(2), seen,
             count, steps, width, scores.data(), mixed.data());
      for (int64_t row = 0; row < count; ++row) {
        Number* const output = to + ((image * count + row) * heads + head) * width;
        for (int64_t i = 0; i < width; ++i) output[i] = static_cast<Number>(mixed[row * width + i]);
      }
    }
  });
  return result.transpose(1, 2);
}

// query (b, heads, m, e), keys and values (b, heads, t, e), all fp32 or all bf16, each row of e in one piece, and
// visible (m, t), which keys each query sees, none for all; to (b, heads, m, e), laid out as (b, m, heads, e).
at::Tensor gemv_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values,
                          const OptionalTensor& visible) {
  if (query.scalar_type() == at::kBFloat16) return attention<at::BFloat16>(query, keys, values, visible);
  return attention<float>(query, keys, values, visible);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(vqgen, library) {
  library.def("gemv(Tensor rows, Tensor weight, Tensor? bias) -> Tensor");
  library.def("gemv_int8(Tensor rows, Tensor weight, Tensor sums, Tensor scales, Tensor? bias, float levels) -> Tensor");
  library.def("gemv_attention(Tensor query, Tensor keys, Tensor values, Tensor? visible) -> Tensor");
}

TORCH_LIBRARY_IMPL(vqgen, CPU, library) {
  library.impl("gemv", gemv);
  library.impl("gemv_int8", gemv_int8);
  library.impl("gemv_attention", gemv_attention);
}
