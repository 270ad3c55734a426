-- Calls of a range as stored, and beside each column that pricing sets (`new_…`) what the price book
-- makes of it now. The rules are those of `priceSpan` (collector/price/cost.ts), bit by bit.
--
-- Every question (what a price depends on beside time and size) comes with its steps: of those that
-- are valid at the start of the call the last one whose size is below the prompt's. A step leads to one
-- of the answers; answer 0 is no price. Picodollars are Int64, as the Decimal(18, 12) stores them.
SELECT
  *,
  price_id != new_price_id
    OR toString(cost_status) != new_cost_status
    OR priced_mask != new_priced_mask
    OR cost_input_uncached != new_cost_input_uncached
    OR cost_cache_read != new_cost_cache_read
    OR cost_cache_write_5m != new_cost_cache_write_5m
    OR cost_cache_write_1h != new_cost_cache_write_1h
    OR cost_cache_write != new_cost_cache_write
    OR cost_output_text != new_cost_output_text
    OR cost_output_reasoning != new_cost_output_reasoning
    OR cost_input_audio != new_cost_input_audio
    OR cost_output_audio != new_cost_output_audio
    OR cost_input_image != new_cost_input_image
    OR cost_output_image != new_cost_output_image
    OR fees_priced != new_fees_priced
    OR cost_fees != new_cost_fees
    OR toString(reason) != new_reason AS is_changed
FROM
(
  SELECT
    *,
    if(applies, book_price_id, '') AS new_price_id,
    multiIf(applies AND some_unpriced, 'partial', applies OR is_refused, 'priced', 'unpriced') AS new_cost_status,
    toUInt16(if(applies, bitAnd(usage_mask, bitOr(book_price_mask, bitXor(billed_mask, 65535))), 0)) AS new_priced_mask,
    reinterpret(if(applies, toInt64(tokens_input_uncached) * book_prices[1], 0), 'Decimal(18, 12)') AS new_cost_input_uncached,
    reinterpret(if(applies, toInt64(tokens_cache_read) * book_prices[2], 0), 'Decimal(18, 12)') AS new_cost_cache_read,
    reinterpret(if(applies, toInt64(tokens_cache_write_5m) * book_prices[3], 0), 'Decimal(18, 12)') AS new_cost_cache_write_5m,
    reinterpret(if(applies, toInt64(tokens_cache_write_1h) * book_prices[4], 0), 'Decimal(18, 12)') AS new_cost_cache_write_1h,
    reinterpret(if(applies, toInt64(tokens_cache_write) * book_prices[5], 0), 'Decimal(18, 12)') AS new_cost_cache_write,
    reinterpret(if(applies, toInt64(tokens_output_text) * book_prices[6], 0), 'Decimal(18, 12)') AS new_cost_output_text,
    reinterpret(if(applies, toInt64(tokens_output_reasoning) * book_prices[7], 0), 'Decimal(18, 12)') AS new_cost_output_reasoning,
    reinterpret(if(applies, toInt64(tokens_input_audio) * book_prices[8], 0), 'Decimal(18, 12)') AS new_cost_input_audio,
    reinterpret(if(applies, toInt64(tokens_output_audio) * book_prices[9], 0), 'Decimal(18, 12)') AS new_cost_output_audio,
    reinterpret(if(applies, toInt64(tokens_input_image) * book_prices[10], 0), 'Decimal(18, 12)') AS new_cost_input_image,
    reinterpret(if(applies, toInt64(tokens_output_image) * book_prices[11], 0), 'Decimal(18, 12)') AS new_cost_output_image,
    toUInt8(applies AND fees_are_priced) AS new_fees_priced,
    reinterpret(if(applies AND fees_are_priced, fees, toInt64(0)), 'Decimal(18, 12)') AS new_cost_fees,
    concat(own_reason, if(is_known AND NOT applies, book_complaint, '')) AS new_reason
  FROM
  (
    SELECT
      *,
      bitAnd(billed_mask, book_price_mask) != 0 OR fees_are_priced AS some_priced,
      bitAnd(billed_mask, bitXor(book_price_mask, 65535)) != 0
        OR has_fees AND NOT fees_are_priced
        OR has_fees AND usage_mask = 0 AND book_price_mask != 0 AS some_unpriced,
      is_known AND book_answer != 0 AND NOT (some_unpriced AND NOT some_priced) AS applies,
      NOT is_known AND span_class = 'billable' AND status = 'error'
        AND http_status >= 400 AND http_status <= 599 AS is_refused
    FROM
    (
      SELECT
        *,
        notEmpty(fee_units) AS has_fees,
        usage_mask != 0 OR has_fees AS is_known,
        toUInt16(
          (tokens_input_uncached > 0) * 1 +
          (tokens_cache_read > 0) * 2 +
          (tokens_cache_write_5m > 0) * 4 +
          (tokens_cache_write_1h > 0) * 8 +
          (tokens_cache_write > 0) * 16 +
          (tokens_output_text > 0) * 32 +
          (tokens_output_reasoning > 0) * 64 +
          (tokens_input_audio > 0) * 128 +
          (tokens_output_audio > 0) * 256 +
          (tokens_input_image > 0) * 512 +
          (tokens_output_image > 0) * 1024
        ) AS billed_mask,
        has_fees AND arrayAll(fee -> has(book_fee_kinds, fee), fee_kinds) AS fees_are_priced,
        arraySum((fee, pieces) -> toInt64(pieces) * book_fee_prices[indexOf(book_fee_kinds, fee)], fee_kinds, mapValues(fee_units)) AS fees,
        -- What pricing said last is the last clause; a priced call has none.
        if(
          cost_status = 'unpriced' AND position(reason, '; the price book has no ') > 0,
          substring(reason, 1, position(reason, '; the price book has no ') - 1),
          toString(reason)
        ) AS own_reason
      FROM
      (
        SELECT
          span.*,
          arrayMap(fee -> toString(fee), mapKeys(span.fee_units)) AS fee_kinds,
          question.book_complaint AS book_complaint,
          toUnixTimestamp64Nano(ts) AS start_ns,
          tokens_input_uncached + tokens_cache_read + tokens_cache_write_5m + tokens_cache_write_1h + tokens_cache_write + tokens_input_audio + tokens_input_image AS prompt_size,
          question.book_answers[arrayLastIndex(
            (valid_from_ns, above) -> valid_from_ns <= start_ns AND (above = 0 OR above < prompt_size),
            question.book_times, question.book_sizes
          )] AS book_answer
        FROM
        (
          SELECT * FROM spans FINAL
          WHERE ts >= toDateTime64({from_s:UInt32}, 9, 'UTC')
            AND ts < toDateTime64({to_s:UInt32}, 9, 'UTC')
            AND span_class IN ('billable', 'aggregate')
            AND ({project_id:String} = '' OR project_id = {project_id:String})
            AND ({provider:String} = '' OR provider = {provider:String})
            AND ({model:String} = '' OR request_model = {model:String} OR response_model = {model:String})
        ) AS span
        INNER JOIN
        (
          SELECT
            asked_project AS project_id,
            asked_provider AS provider,
            asked_request AS request_model,
            asked_response AS response_model,
            asked_tier AS service_tier,
            asked_region AS region,
            complaint AS book_complaint,
            times AS book_times,
            sizes AS book_sizes,
            answers AS book_answers
          FROM
          (
            SELECT
              {projects:Array(String)} AS projects,
              {providers:Array(String)} AS providers,
              {request_models:Array(String)} AS request_models,
              {response_models:Array(String)} AS response_models,
              {service_tiers:Array(String)} AS service_tiers,
              {regions:Array(String)} AS regions,
              {complaints:Array(String)} AS complaints,
              {step_times:Array(Array(Int64))} AS step_times,
              {step_sizes:Array(Array(UInt64))} AS step_sizes,
              {step_answers:Array(Array(UInt32))} AS step_answers
          )
          ARRAY JOIN
            projects AS asked_project, providers AS asked_provider, request_models AS asked_request,
            response_models AS asked_response, service_tiers AS asked_tier, regions AS asked_region,
            complaints AS complaint, step_times AS times, step_sizes AS sizes, step_answers AS answers
        ) AS question
        USING (project_id, provider, request_model, response_model, service_tier, region)
      ) AS asked
      INNER JOIN
      (
        SELECT
          toUInt32(number) AS book_answer,
          price_id AS book_price_id,
          prices AS book_prices,
          price_mask AS book_price_mask,
          kinds AS book_fee_kinds,
          fee_prices AS book_fee_prices
        FROM
        (
          SELECT
            {price_ids:Array(String)} AS price_ids,
            {price_masks:Array(UInt16)} AS price_masks,
            {unit_prices:Array(Array(Int64))} AS unit_prices,
            {fee_kinds:Array(Array(String))} AS all_kinds,
            {fee_prices:Array(Array(Int64))} AS all_fee_prices
        )
        ARRAY JOIN
          price_ids AS price_id, price_masks AS price_mask,
          unit_prices AS prices, all_kinds AS kinds, all_fee_prices AS fee_prices,
          arrayMap(index -> index - 1, arrayEnumerate(price_ids)) AS number
      ) AS answer
      USING (book_answer)
    )
  )
)
