-- What a person does about most of messy.sql. Rows change; none is new, except that one without an id gets one.
UPDATE transactions SET txn_id = 5000 WHERE txn_id IS NULL AND customer_id = 1;
DELETE FROM transactions WHERE txn_id IS NULL;
UPDATE transactions SET customer_id = 3 WHERE txn_id = 11;
INSERT INTO customers VALUES (999, 'Was unknown', 'late@example.com', 'F', '2024-01-01');
UPDATE transactions SET product_id = 2 WHERE txn_id IN (13, 14);
UPDATE transactions SET qty = 2 WHERE txn_id IN (15, 16, 17);
UPDATE transactions SET amount = 20.00 WHERE txn_id IN (18, 19);
DELETE FROM transactions WHERE txn_id = 20;
UPDATE transactions SET txn_timestamp = '2024-03-09 10:00:00' WHERE txn_id IN (21, 22);
-- 23 stays as it is; 24 loses one reason of several.
UPDATE transactions SET qty = 1 WHERE txn_id = 24;
DELETE FROM transactions WHERE txn_id = 30 LIMIT 1;
DELETE FROM transactions WHERE txn_id = 31 AND customer_id = 1;
DELETE FROM transactions WHERE txn_id = 32 AND product_id = 999;
DELETE FROM transactions WHERE txn_id = 33 AND (product_id = 999 OR qty = 0);
UPDATE transactions SET qty = 4 WHERE txn_id = 40;

UPDATE customers SET signup_date = '2021-01-01' WHERE customer_id = 4;
UPDATE customers SET email = 'mended@example.com' WHERE customer_id IN (5, 6, 17);
UPDATE customers SET gender = 'M' WHERE customer_id IN (7, 8);
-- 9 loses two reasons of three.
UPDATE customers SET gender = 'O', signup_date = '2021-01-15' WHERE customer_id = 9;
DELETE FROM customers WHERE customer_id = 10 LIMIT 1;
DELETE FROM customers WHERE customer_id = 11 AND email = 'other';
DELETE FROM customers WHERE customer_id IS NULL;
