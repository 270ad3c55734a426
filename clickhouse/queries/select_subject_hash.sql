-- The keyed hash by which the data of a person are found: what is kept of who it is about.
SELECT lower(hex(sipHash128Keyed(({key_a:UInt64}, {key_b:UInt64}), {subject:String}))) AS subject_hash
