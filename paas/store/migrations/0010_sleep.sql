-- Apps whose containers are stopped until somebody asks for them.
ALTER TABLE apps ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0;
